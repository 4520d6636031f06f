import { existsSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Command } from 'commander';
import { parseConfig, type Settings } from '../config.ts';
import { readBundle } from '../policy/bundle.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { createKey, listKeys, type NewKey } from '../store/keys.ts';
import { openPepper } from '../store/pepper.ts';
import { CliError, forPeople } from './cli-error.ts';
import { initialConfig } from './init-config.ts';

interface InitFlags {
  config: string;
  org: string;
  user: string;
  role: string;
  force?: true;
  json?: true;
}

/** `aegis init`: a commented aegis.yaml, and in its home the store with a first key. */
export const initCommand = (): Command =>
  new Command('init')
    .description('write a commented aegis.yaml and make the first key, an administrator’s, which is shown once')
    .option('--config <file>', 'the file to write', 'aegis.yaml')
    .option('--org <name>', 'organisation of the key, of policies/organizations/data.yaml', 'demo-university')
    .option('--user <name>', 'whom the key acts for', 'admin')
    .option('--role <name>', 'its role, of policies/roles/data.yaml', 'admin')
    .option('--force', 'write over a file that is there, and make a key though there are some')
    .option('--json', 'print JSON')
    .action(forPeople(init));

const init = async (flags: InitFlags): Promise<void> => {
  const file = resolve(flags.config);
  if (existsSync(file) && !flags.force) {
    throw new CliError(`${flags.config} is there already: --force writes over it, --config names another`);
  }
  const text = initialConfig(dirname(file), process.env);
  const { home } = settingsOf(text, file);
  writeFileSync(file, text, { flag: flags.force ? 'w' : 'wx' });
  const made = await firstKey(home, flags);
  const warnings = made ? await unknownTo(flags) : [];
  if (flags.json) {
    const key = made && { id: made.key.id, org: made.key.org, user: made.key.user, roles: made.key.roles };
    console.log(JSON.stringify({ config: file, home, key: key ?? null, secret: made?.secret ?? null, warnings }));
    return;
  }
  console.log(report(file, home, flags, made));
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
};

/** What the text says; a key that it wants of the environment is there, since it was written for it. */
const settingsOf = (text: string, file: string): Settings => parseConfig(text, file, process.env);

/** Makes the key; undefined where the store has keys already and nobody insists. */
const firstKey = async (home: string, { org, user, role, force }: InitFlags): Promise<NewKey | undefined> => {
  const database: Database = await openDatabase(home);
  try {
    if (!force && (await listKeys(database.db)).length > 0) return undefined;
    const grant = { org, team: '', user, roles: [role], groups: [], workflows: [] };
    return await createKey(database.db, openPepper(home), grant);
  } catch (error) {
    const { name, message } = error as { name?: unknown; message?: unknown };
    if (name === 'KeyError') throw new CliError(String(message), { cause: error });
    throw error;
  } finally {
    await database.close();
  }
};

/** What the default policies do not know of the key: they would refuse it. */
const unknownTo = async ({ org, role }: InitFlags): Promise<string[]> => {
  const packed = await readFile(resolve(CHECKOUT, 'bundles', 'default.tar.gz')).catch(() => undefined);
  if (!packed) return [];
  const { organizations, roles } = (await readBundle(packed)).data;
  const unknown: string[] = [];
  if (!has(organizations, org)) unknown.push(`the default policies know no organisation "${org}"`);
  if (!has(roles, role)) unknown.push(`the default policies know no role "${role}"`);
  return unknown;
};

const has = (table: unknown, name: string): boolean =>
  typeof table === 'object' && table !== null && Object.hasOwn(table, name);

const report = (file: string, home: string, { config }: InitFlags, made: NewKey | undefined): string => {
  const lines: [string, string][] = [
    ['config', file],
    ['home', home],
    ...(made
      ? ([
          ['key', made.key.id],
          ['secret', made.secret],
          ['caller', `${made.key.org} / ${made.key.user}`],
          ['role', made.key.roles.join(', ')],
        ] as [string, string][])
      : ([['key', 'none was made: the store has some already (./aegis keys list)']] as [string, string][])),
  ];
  const next = [`./aegis doctor --config ${config}`, `./aegis serve --config ${config}`];
  return [
    ...lines.map(([name, value]) => `${name.padEnd(11)}${value}`),
    ...(made ? ['The secret is shown only now.'] : []),
    `Next: ${next.join(', then ')}`,
  ].join('\n');
};

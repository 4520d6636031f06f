import { existsSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Command } from 'commander';
import { parseConfig, type Settings } from '../config.ts';
import { readBundle } from '../policy/bundle.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import { createBootstrap, type NewToken } from '../store/bootstrap.ts';
import { listKeys } from '../store/keys.ts';
import { openPepper } from '../store/pepper.ts';
import { CliError, forPeople } from './cli-error.ts';
import { initialConfig } from './init-config.ts';
import { openStore } from './open-store.ts';

interface InitFlags {
  config: string;
  org: string;
  user: string;
  role: string;
  force?: true;
  json?: true;
}

/** `aegis init`: a commented aegis.yaml, and in its home the store with a one-time token for the first administrator. */
export const initCommand = (): Command =>
  new Command('init')
    .description('write a commented aegis.yaml and make a one-time token, worth the first administrator’s key')
    .option('--config <file>', 'the file to write', 'aegis.yaml')
    .option('--org <name>', 'organisation of the key, of policies/organizations/data.yaml', 'demo-university')
    .option('--user <name>', 'whom the key acts for', 'admin')
    .option('--role <name>', 'its role, of policies/roles/data.yaml', 'platform-admin')
    .option('--force', 'write over a file that is there, and make a token though there are keys')
    .option('--json', 'print JSON')
    .action(forPeople(init));

const init = async (flags: InitFlags): Promise<void> => {
  const file = resolve(flags.config);
  if (existsSync(file) && !flags.force) {
    throw new CliError(`${flags.config} is there already: --force writes over it, --config names another`);
  }
  const text = initialConfig(dirname(file), process.env);
  const settings = settingsOf(text, file);
  const { home } = settings;
  writeFileSync(file, text, { flag: flags.force ? 'w' : 'wx' });
  const made = await firstToken(settings, flags);
  const warnings = made ? await unknownTo(flags) : [];
  if (flags.json) {
    const expires = made ? new Date(made.expiresMs).toISOString() : null;
    console.log(JSON.stringify({ config: file, home, token: made?.token ?? null, expires, warnings }));
    return;
  }
  console.log(report(file, settings, flags, made));
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
};

/** What the text says; a key that it wants of the environment is there, since it was written for it. */
const settingsOf = (text: string, file: string): Settings => parseConfig(text, file, process.env);

/** Makes the token; undefined where the store has keys already and nobody insists. */
const firstToken = async (
  { home, store }: Settings,
  { org, user, role, force }: InitFlags,
): Promise<NewToken | undefined> => {
  const database = await openStore({ home, url: store.url });
  try {
    if (!force && (await listKeys(database.db)).length > 0) return undefined;
    const grant = { org, team: '', user, roles: [role], groups: [], workflows: [] };
    return await createBootstrap(database.db, openPepper(home), grant);
  } catch (error) {
    const { name, message } = error as { name?: unknown; message?: unknown };
    if (name === 'KeyError') throw new CliError(String(message), { cause: error });
    throw error;
  } finally {
    await database.close();
  }
};

/** What the default policies do not know of the key-to-be: they would refuse it. */
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

const report = (
  file: string,
  { home, adminListen: { host, port } }: Settings,
  { config, org, user, role }: InitFlags,
  made: NewToken | undefined,
): string => {
  const rows = ([name, value]: [string, string]): string => `${name.padEnd(11)}${value}`;
  const next = `Next: ./aegis doctor --config ${config}, then ./aegis serve --config ${config}`;
  const where: [string, string][] = [
    ['config', file],
    ['home', home],
  ];
  if (!made) {
    const none: [string, string] = ['token', 'none was made: the store has keys already (./aegis keys list)'];
    return [...[...where, none].map(rows), next].join('\n');
  }
  const token: [string, string][] = [
    ['token', made.token],
    ['worth', `one key of ${org} / ${user} with the role ${role}, once`],
    ['expires', new Date(made.expiresMs).toISOString()],
  ];
  return [
    ...[...where, ...token].map(rows),
    'The token is shown only now.',
    `${next}; the key, for the token:`,
    `curl -s -X POST http://${host}:${port}/admin/v1/bootstrap -H 'authorization: Bearer ${made.token}'`,
  ].join('\n');
};

import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { type Database, openDatabase } from '../store/database.ts';
import { createKey, type KeyRecord, listKeys, type NewKey, revokeKey, rotateKey } from '../store/keys.ts';
import { openPepper } from '../store/pepper.ts';
import { CliError } from './cli-error.ts';
import { parseDuration } from './duration.ts';
import { homeOf } from './home.ts';
import { unknownNames } from './unknown-names.ts';

interface CommonFlags {
  home?: string;
  json?: true;
}

interface CreateFlags extends CommonFlags {
  org: string;
  team: string;
  user: string;
  roles: string[];
  groups: string[];
  workflows: string[];
  expires?: number;
}

/** `aegis keys`: makes, lists, rotates and revokes API keys. A running gateway follows within 2 seconds. */
export const keysCommand = (): Command =>
  new Command('keys')
    .description('create, list, rotate and revoke API keys; a running gateway follows within 2 seconds')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(rotateCommand())
    .addCommand(revokeCommand());

const withCommon = (command: Command): Command =>
  command
    .option('--home <folder>', 'folder of the store (default: AEGIS_HOME, else .aegis)')
    .option('--json', 'print JSON');

const createCommand = (): Command =>
  withCommon(new Command('create'))
    .description('make a key; its secret is shown once and stored nowhere')
    .requiredOption('--org <name>', 'organisation')
    .option('--team <name>', 'team inside the organisation', '')
    .option('--user <name>', 'whom the key acts for; leave out for a service', '')
    .option('--roles <names>', 'roles, separated by commas', parseList, [])
    .option('--groups <names>', 'groups, separated by commas', parseList, [])
    .option('--workflows <names>', 'the only workflows it may serve (default: those its roles allow)', parseList, [])
    .option('--expires <time>', 'after a time such as 12h or 30d (default: never)', parsePositive)
    .action(async ({ home, json, expires, ...grant }: CreateFlags) => {
      await withStore(home, async ({ db }, pepper) => {
        const now = Date.now();
        const expiresMs = expires === undefined ? null : now + expires;
        const made = await createKey(db, pepper(), grant, { now, expiresMs });
        printNew(made, json);
        for (const warning of await unknownNames(homeOf(home), grant)) process.stderr.write(`warning: ${warning}\n`);
      });
    });

const listCommand = (): Command =>
  withCommon(new Command('list'))
    .description('list keys, oldest first')
    .option('--org <name>', 'of one organisation')
    .option('--all', 'revoked and expired ones too')
    .action(async ({ home, json, org, all }: CommonFlags & { org?: string; all?: true }) => {
      await withStore(home, async ({ db }) => {
        const now = Date.now();
        const keys = (await listKeys(db, org)).filter((key) => all || stateOf(key, now) === 'active');
        if (json) console.log(JSON.stringify(keys.map((key) => ({ ...forJson(key), state: stateOf(key, now) }))));
        else console.log(keys.length === 0 ? 'no keys' : tableOf(keys, now));
      });
    });

const rotateCommand = (): Command =>
  withCommon(new Command('rotate'))
    .description('make a key for the same caller; the old one ends after the overlap')
    .argument('<id>', 'id of the old key, key_…')
    .option('--overlap <time>', 'how long both work, such as 0s, 1h or 7d', parseTime, 3_600_000)
    .action(async (id: string, { home, json, overlap }: CommonFlags & { overlap: number }) => {
      await withStore(home, async ({ db }, pepper) => {
        printNew(await rotateKey(db, pepper(), id, { overlapMs: overlap }), json);
        if (!json) console.log(`${id} works until ${timeOf(Date.now() + overlap)} at the latest`);
      });
    });

const revokeCommand = (): Command =>
  withCommon(new Command('revoke'))
    .description('end a key now')
    .argument('<id>', 'id of the key, key_…')
    .action(async (id: string, { home, json }: CommonFlags) => {
      await withStore(home, async ({ db }) => {
        const key = await revokeKey(db, id);
        if (json) console.log(JSON.stringify(forJson(key)));
        else console.log(`${id} is revoked since ${timeOf(key.revokedMs ?? 0)}`);
      });
    });

/** Opens the store of a home and says in a sentence what people can mend. */
const withStore = async (
  home: string | undefined,
  use: (database: Database, pepper: () => Uint8Array) => Promise<void>,
): Promise<void> => {
  const folder = homeOf(home);
  const database = await openDatabase(folder);
  try {
    await use(database, () => openPepper(folder));
  } catch (error) {
    const { name, message } = (error ?? {}) as { name?: unknown; message?: unknown };
    if (name === 'KeyError' || name === 'Error') throw new CliError(String(message), { cause: error });
    throw error;
  } finally {
    await database.close();
  }
};

const printNew = ({ secret, key }: NewKey, json: true | undefined): void => {
  if (json) {
    console.log(JSON.stringify({ ...forJson(key), secret }));
    return;
  }
  const lines: [string, string][] = [
    ['key', key.id],
    ['secret', secret],
    ['caller', callerOf(key)],
    ['roles', key.roles.join(', ') || 'none'],
    ['groups', key.groups.join(', ') || 'none'],
    ['workflows', key.workflows.join(', ') || 'those its roles allow'],
    ['expires', key.expiresMs === null ? 'never' : timeOf(key.expiresMs)],
  ];
  for (const [name, value] of lines) console.log(`${name.padEnd(11)}${value}`);
  console.log('The secret is shown only now.');
};

const tableOf = (keys: readonly KeyRecord[], now: number): string => {
  const table = new Table({
    head: ['id', 'starts with', 'caller', 'roles', 'workflows', 'created', 'expires', 'state'],
    style: { head: [], border: [], compact: true },
  });
  for (const key of keys) {
    table.push([
      key.id,
      key.prefix,
      callerOf(key),
      key.roles.join(', '),
      key.workflows.join(', '),
      timeOf(key.createdMs),
      key.expiresMs === null ? 'never' : timeOf(key.expiresMs),
      stateOf(key, now),
    ]);
  }
  return table.toString();
};

const stateOf = (key: KeyRecord, now: number): 'active' | 'revoked' | 'expired' => {
  if (key.revokedMs !== null) return 'revoked';
  return key.expiresMs !== null && key.expiresMs <= now ? 'expired' : 'active';
};

const callerOf = ({ org, team, user }: KeyRecord): string =>
  [org, team, user].filter((name) => name !== '').join(' / ');

const forJson = (key: KeyRecord): Record<string, unknown> => ({
  id: key.id,
  prefix: key.prefix,
  org: key.org,
  team: key.team,
  user: key.user,
  roles: key.roles,
  groups: key.groups,
  workflows: key.workflows,
  created: isoOf(key.createdMs),
  expires: isoOf(key.expiresMs),
  revoked: isoOf(key.revokedMs),
  rotated_from: key.rotatedFrom,
});

const isoOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
const timeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;

const parseList = (text: string): string[] => [...new Set(text.split(',').map((name) => name.trim()))].filter(Boolean);

const parseTime = (text: string): number => {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write a time such as 90s, 30m, 12h or 30d.');
  return ms;
};

const parsePositive = (text: string): number => {
  const ms = parseTime(text);
  if (ms === 0) throw new InvalidArgumentError('It must be in the future.');
  return ms;
};

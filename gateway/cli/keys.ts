import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import type { Database } from '../store/database.ts';
import { createKey, type KeyRecord, listKeys, type NewKey, revokeKey, rotateKey } from '../store/keys.ts';
import { openPepper } from '../store/pepper.ts';
import { CliError } from './cli-error.ts';
import { parseDuration } from './duration.ts';
import { openStore } from './open-store.ts';
import { type StoreFlags, type StorePlace, storePlaceOf, withStoreFlags } from './store-place.ts';
import { unknownNames } from './unknown-names.ts';

interface CommonFlags extends StoreFlags {
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

const withCommon = (command: Command): Command => withStoreFlags(command).option('--json', 'print JSON');

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
    .action(async ({ home, config, json, expires, ...grant }: CreateFlags) => {
      const place = storePlaceOf({ ...(home !== undefined && { home }), ...(config !== undefined && { config }) });
      await withStore(place, async ({ db }, pepper) => {
        const now = Date.now();
        const expiresMs = expires === undefined ? null : now + expires;
        const made = await createKey(db, pepper(), grant, { now, expiresMs });
        printNew(made, json);
        for (const warning of await unknownNames(place.home, grant)) process.stderr.write(`warning: ${warning}\n`);
      });
    });

const listCommand = (): Command =>
  withCommon(new Command('list'))
    .description('list keys, oldest first')
    .option('--org <name>', 'of one organisation')
    .option('--all', 'revoked and expired ones too')
    .action(async ({ json, org, all, ...flags }: CommonFlags & { org?: string; all?: true }) => {
      await withStore(storePlaceOf(flags), async ({ db }) => {
        const now = Date.now();
        const known = await listKeys(db, org);
        const successors = new Map(known.map((key) => [key.rotatedFrom, key]));
        const listed = known
          .filter((key) => all || stateOf(key, now) === 'active')
          .map((key) => ({ key, successor: successors.get(key.id), state: stateOf(key, now) }));
        if (json) {
          const rows = listed.map(({ key, successor, state }) => ({
            ...forJson(key),
            rotated: isoOf(rotatedMs(key, successor)),
            rotated_to: successor?.id ?? null,
            state,
          }));
          console.log(JSON.stringify(rows));
        } else console.log(listed.length === 0 ? 'no keys' : tableOf(listed));
      });
    });

const rotateCommand = (): Command =>
  withCommon(new Command('rotate'))
    .description('make a key for the same caller; the old one ends after the overlap')
    .argument('<id>', 'id of the old key, key_…')
    .option('--overlap <time>', 'how long both work, such as 0s, 1h or 7d', parseTime, 3_600_000)
    .option(
      '--expires <time>',
      'the new key ends after a time such as 90d (default: when the old one would have)',
      parsePositive,
    )
    .action(
      async (id: string, { json, overlap, expires, ...flags }: CommonFlags & { overlap: number; expires?: number }) => {
        await withStore(storePlaceOf(flags), async ({ db }, pepper) => {
          const now = Date.now();
          const life = expires === undefined ? {} : { expiresMs: now + expires };
          printNew(await rotateKey(db, pepper(), id, { now, overlapMs: overlap, ...life }), json);
          if (!json) console.log(`${id} works until ${timeOf(now + overlap)} at the latest`);
        });
      },
    );

const revokeCommand = (): Command =>
  withCommon(new Command('revoke'))
    .description('end a key now')
    .argument('<id>', 'id of the key, key_…')
    .action(async (id: string, { json, ...flags }: CommonFlags) => {
      await withStore(storePlaceOf(flags), async ({ db }) => {
        const key = await revokeKey(db, id);
        if (json) console.log(JSON.stringify(forJson(key)));
        else console.log(`${id} is revoked since ${timeOf(key.revokedMs ?? 0)}`);
      });
    });

/** Opens a store and says in a sentence what people can mend. */
const withStore = async (
  place: StorePlace,
  use: (database: Database, pepper: () => Uint8Array) => Promise<void>,
): Promise<void> => {
  const database = await openStore(place);
  try {
    await use(database, () => openPepper(place.home));
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

interface ListedKey {
  readonly key: KeyRecord;
  /** The key that replaced it. */
  readonly successor: KeyRecord | undefined;
  readonly state: ReturnType<typeof stateOf>;
}

const tableOf = (keys: readonly ListedKey[]): string => {
  const table = new Table({
    head: ['id', 'starts with', 'caller', 'roles', 'workflows', 'created', 'expires', 'last rotation', 'state'],
    style: { head: [], border: [], compact: true },
  });
  for (const { key, successor, state } of keys) {
    const rotated = rotatedMs(key, successor);
    table.push([
      key.id,
      key.prefix,
      callerOf(key),
      key.roles.join(', '),
      key.workflows.join(', '),
      timeOf(key.createdMs),
      key.expiresMs === null ? 'never' : timeOf(key.expiresMs),
      rotated === null ? 'never' : `${timeOf(rotated)}${successor ? `, to ${successor.id}` : ''}`,
      state,
    ]);
  }
  return table.toString();
};

/** When a key was last rotated: when its successor was made, else when it was made as one; null when neither. */
const rotatedMs = (key: KeyRecord, successor: KeyRecord | undefined): number | null =>
  successor?.createdMs ?? (key.rotatedFrom === null ? null : key.createdMs);

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

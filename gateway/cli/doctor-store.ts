import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { isAway } from '../store/away.ts';
import { isPepperOf } from '../store/pepper.ts';
import { type Check, ok, problem, sentenceOf, warning } from './doctor-check.ts';

/** Older ones lack nothing that is used yet, and are tested nowhere. */
const LEAST_VERSION = 150_000;
/** A clock that is this far off makes keys expire and budgets begin at other times than at other gateways. */
const SKEW_MS = 5_000;

/**
 * Looks at the Postgres of `store.url`: whether it answers, is new enough, may be written, keeps its connection private,
 * goes by the same clock, and belongs to the pepper of the home. Nothing is written there. No check for the embedded store.
 */
export const checkStore = async (home: string, url: string, timeoutMs: number): Promise<Check[]> => {
  if (url === '') return [];
  const started = performance.now();
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    application_name: 'aegis doctor',
  });
  client.on('error', () => {}); // Told by the query that it breaks.
  try {
    await client.connect();
    const server = await readServer(client);
    const ms = Math.round(performance.now() - started);
    const checks = [checkServer(server, ms)];
    if (!server.isPrivate) {
      const fix = 'add ?sslmode=verify-full (and &sslrootcert=FILE) to store.url';
      checks.push(warning('store', 'the connection to Postgres leaves this machine without TLS', fix));
    }
    if (Math.abs(Date.now() - server.timeMs) > SKEW_MS + ms) {
      const seconds = Math.round(Math.abs(Date.now() - server.timeMs) / 1000);
      checks.push(warning('store', `its clock is ${seconds} s apart from this machine's`, 'set both by network time'));
    }
    checks.push(await checkTables(client, home));
    return checks;
  } catch (error) {
    return [trouble(error)];
  } finally {
    await Promise.race([client.end(), new Promise((resolve) => setTimeout(resolve, 1_000).unref())]).catch(() => {});
  }
};

interface Server {
  readonly version: string;
  readonly versionNumber: number;
  readonly timeMs: number;
  readonly mayCreate: boolean;
  readonly isReplica: boolean;
  readonly isPrivate: boolean;
}

const readServer = async (client: pg.Client): Promise<Server> => {
  const { rows } = await client.query(`
    select current_setting('server_version') as version, current_setting('server_version_num')::int as number,
      extract(epoch from clock_timestamp())::float8 * 1000 as time_ms,
      coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
      pg_is_in_recovery() as is_replica,
      coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false)
        or inet_client_addr() is null or inet_client_addr() <<= '127.0.0.0/8' or inet_client_addr() = '::1' as is_private`);
  const row = rows[0] as Record<string, unknown>;
  return {
    version: String(row.version),
    versionNumber: Number(row.number),
    timeMs: Number(row.time_ms),
    mayCreate: row.may_create === true,
    isReplica: row.is_replica === true,
    isPrivate: row.is_private === true,
  };
};

const checkServer = ({ version, versionNumber, mayCreate, isReplica }: Server, ms: number): Check => {
  const found = `Postgres ${version} answers (${ms} ms)`;
  if (versionNumber < LEAST_VERSION) return problem('store', `${found}, and is too old`, 'use Postgres 15 or newer');
  if (isReplica) return problem('store', `${found}, and is a read-only replica`, 'point store.url at the primary');
  if (!mayCreate) {
    return problem('store', `${found}, and its user may make no tables`, 'grant create on schema public to that user');
  }
  return ok('store', found);
};

/** Whether a gateway was here before, and whether this home fits. */
const checkTables = async (client: pg.Client, home: string): Promise<Check> => {
  const { rows } = await client.query(`select to_regclass('facts') is not null as is_there`);
  if ((rows[0] as { is_there: boolean }).is_there !== true) {
    return ok('store', 'it is empty: the first start makes the tables');
  }
  const { rows: facts } = await client.query(`select value from facts where name = 'pepper'`);
  const fingerprint = (facts[0] as { value?: string } | undefined)?.value;
  const isThere = existsSync(join(home, 'pepper'));
  if (fingerprint !== undefined && !(isThere && isPepperOf(home, fingerprint))) {
    const found = `its keys are of another pepper than ${join(home, 'pepper')}${isThere ? '' : ', which is not there'}`;
    return problem('store', found, 'copy the file `pepper` from the home of a gateway that uses this database');
  }
  const { rows: counts } = await client.query(
    `select count(*)::int as keys from keys where revoked_ms is null and (expires_ms is null or expires_ms > $1)`,
    [Date.now()],
  );
  const { keys } = counts[0] as { keys: number };
  if (keys === 0) return warning('store', 'no key works in it', './aegis keys create --org … --roles …');
  return ok('store', `${keys} of its keys work`);
};

const trouble = (error: unknown): Check => {
  const found = `the Postgres of store.url ${isAway(error) ? 'cannot be reached' : 'refuses'}: ${sentenceOf(error)}`;
  return problem('store', found, 'check store.url (host, port, database, user, password) and pg_hba.conf');
};

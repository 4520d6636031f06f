import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { appendFile, chown, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';

/** A Postgres of a test's own. */
export interface TestPostgres {
  readonly port: number;
  /** Of a new, empty database. */
  createDatabase(): Promise<string>;
  /** Stops the server with its data kept: fast, or as a crash. */
  stop(how?: 'fast' | 'crash'): Promise<void>;
  /** Starts it again on the same port, unless it runs. */
  start(): Promise<void>;
  /** SIGSTOP to every process of it: connections stay open and nothing answers. */
  freeze(): void;
  thaw(): void;
  /** Processor time of all of its processes so far, milliseconds. */
  cpuMs(): number;
  /** Stops it and removes its data. */
  close(): Promise<void>;
}

/** Where Postgres' programs are: the newest of /usr/lib/postgresql, else PATH; undefined where there is none. */
export const postgresBin = (): string | undefined => {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((version) => join(root, version, 'bin')), ...(process.env.PATH ?? '').split(':')];
  return folders.find((folder) => folder !== '' && existsSync(join(folder, 'initdb')));
};

/** Why tests on Postgres cannot run here; undefined where they can. CI has it, so there its lack is a failure. */
export const whyNoPostgres = (): string | undefined =>
  postgresBin() === undefined && !process.env.CI ? 'Postgres is not installed here' : undefined;

/** initdb refuses to run as root. */
const owner = (): { uid: number; gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((user) => /^(?:postgres|nobody):/.test(user));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined) throw new Error('there is no user that Postgres could run as');
  return { uid: Number(uid), gid: Number(gid) };
};

const run = promisify(execFile);

/** What the server is started with, beside being quick and forgetful of power losses. */
export interface PostgresOptions {
  /** Lines of postgresql.conf. */
  readonly config?: readonly string[];
  /** Lines in front of pg_hba.conf. */
  readonly prepare?: (folder: string, own: (path: string) => Promise<void>) => Promise<void>;
}

/** Makes a cluster in a temporary folder and starts it on a free port of 127.0.0.1. */
export const openPostgres = async ({ config = [], prepare }: PostgresOptions = {}): Promise<TestPostgres> => {
  const bin = postgresBin();
  if (bin === undefined) throw new Error('Postgres is not installed here');
  const folder = await mkdtemp(join(tmpdir(), 'aegis-postgres-'));
  const user = owner();
  const own = async (path: string): Promise<void> => {
    if (user) await chown(path, user.uid, user.gid);
  };
  await own(folder);
  const data = join(folder, 'data');
  const initdb = ['-D', data, '-U', 'aegis', '--auth=trust', '--no-sync', '-E', 'UTF8', '--locale=C'];
  await run(join(bin, 'initdb'), initdb, { ...user, cwd: folder });
  const port = await freePort();
  const lines = [
    "listen_addresses = '127.0.0.1'",
    `port = ${port}`,
    `unix_socket_directories = '${folder}'`,
    'fsync = off',
    'full_page_writes = off',
    'max_connections = 60',
    ...config,
  ];
  await appendFile(join(data, 'postgresql.conf'), `${lines.join('\n')}\n`);
  await prepare?.(data, own);

  let server: ChildProcess;
  let output = '';
  const isRunning = (): boolean => server.exitCode === null && server.signalCode === null;
  const start = async (): Promise<void> => {
    // A process group of its own, so that all of its processes can be stopped at once.
    server = spawn(join(bin, 'postgres'), ['-D', data], { ...user, cwd: folder, detached: true });
    server.stderr?.on('data', (chunk) => {
      output += chunk;
    });
    const end = performance.now() + 30_000;
    while (!(await answers(port))) {
      if (server.exitCode !== null || performance.now() > end) throw new Error(`Postgres did not start: ${output}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  };
  const signalAll = (signal: NodeJS.Signals): void => {
    if (!isRunning()) return;
    // Backends are in process groups of their own: found by their parent.
    const children = childrenOf(server.pid!);
    for (const pid of [server.pid!, ...children]) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        // A backend may have ended since it was listed.
        if ((error as { code?: string }).code !== 'ESRCH') throw error;
      }
    }
  };
  const stop = async (how: 'fast' | 'crash' = 'fast'): Promise<void> => {
    if (!isRunning()) return;
    const exited = once(server, 'exit');
    if (how === 'fast') server.kill('SIGINT');
    else server.kill('SIGQUIT');
    await exited;
  };
  await start();

  let databases = 0;
  return {
    port,
    async createDatabase() {
      const name = `test_${++databases}`;
      await query(port, `create database ${name}`);
      return `postgres://aegis@127.0.0.1:${port}/${name}`;
    },
    stop,
    start: async () => {
      if (!isRunning()) await start();
    },
    freeze: () => signalAll('SIGSTOP'),
    thaw: () => signalAll('SIGCONT'),
    cpuMs: () =>
      [server.pid!, ...childrenOf(server.pid!)].reduce((sum, pid, i) => sum + cpuTicksOf(pid, i === 0), 0) * TICK_MS,
    async close() {
      signalAll('SIGCONT');
      await stop('crash');
      await rm(folder, { recursive: true, force: true });
    },
  };
};

const query = async (port: number, text: string): Promise<void> => {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'aegis', database: 'postgres' });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
};

const answers = (port: number): Promise<boolean> =>
  query(port, 'select 1').then(
    () => true,
    () => false,
  );

/** Linux counts processor time in hundredths of a second. */
const TICK_MS = 10;

/** Of a process, and of those of its children that ended: /proc/<pid>/stat, fields 14 to 17. */
const cpuTicksOf = (pid: number, withChildren: boolean): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, withChildren ? 15 : 13).reduce((sum, ticks) => sum + Number(ticks), 0);
};

const childrenOf = (parent: number): number[] =>
  readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').split(' ').filter(Boolean).map(Number);

const freePort = async (): Promise<number> => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
};

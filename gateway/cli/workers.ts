import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createWorkerFront, type WorkerSeen } from '../admin/worker-front.ts';
import type { Settings } from '../config.ts';
import { drain, listen } from '../server.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

/** A worker that dies is started again: at once the first time, later and later when it keeps dying. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** One that has served so long starts the pauses anew. */
const STEADY_MS = 60_000;

/** What a worker tells its supervisor once it serves. */
export interface WorkerReady {
  readonly url: string;
  readonly adminUrl: string;
}

/** Several processes that serve from one address, and the control plane in front of them. */
export interface Workers extends WorkerReady {
  /** Stops all: no new connection, requests under way finish. Gives whether each ended well. */
  close(): Promise<boolean>;
}

/**
 * Starts `count` workers with the arguments and the environment of this process. The first is up before the others
 * start, so that what is made once (secrets, tables, the port) is there. Throws Error when it does not start.
 */
export const openWorkers = async (settings: Settings, args: readonly string[], count: number): Promise<Workers> => {
  const workers = Array.from({ length: count }, (_, index) => new Worker(index, args));
  const seen = (): WorkerSeen[] =>
    workers.map(({ index, ready }) => ({ worker: index, adminUrl: ready?.adminUrl ?? null }));
  const [first, ...others] = workers as [Worker, ...Worker[]];
  try {
    const { url } = await first.start({});
    const { host } = new URL(url);
    await Promise.all(others.map((worker) => worker.start({ AEGIS_LISTEN: host })));
    // One that is started again listens where the others do.
    first.env = { AEGIS_LISTEN: host };
    const control = await listen(createWorkerFront(seen), settings.adminListen);
    return {
      url,
      adminUrl: control.url,
      async close() {
        const codes = await Promise.all(workers.map((worker) => worker.stop()));
        await drain(control.server, [], 0);
        return codes.every((code) => code === 0);
      },
    };
  } catch (error) {
    await Promise.all(workers.map((worker) => worker.stop()));
    throw error;
  }
};

class Worker {
  readonly index: number;
  ready: WorkerReady | null = null;
  env: Readonly<Record<string, string>> = {};
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(0);
  #isStopping = false;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(index: number, args: readonly string[]) {
    this.index = index;
    this.#args = args;
  }

  /** Starts the process and gives what it serves. Throws Error when it ends before. */
  async start(env: Readonly<Record<string, string>>): Promise<WorkerReady> {
    this.env = env;
    const child = this.#spawn();
    const ready = await Promise.race([
      once(child, 'message').then(([message]) => message as WorkerReady),
      this.#exited.then((code) => {
        throw new Error(`worker ${this.index} ended with ${code ?? 'a signal'} before it served`);
      }),
    ]);
    // From now on it is started again when it dies.
    void this.#exited.then(() => this.#again());
    return ready;
  }

  /** Asks the process to stop and gives its exit code. */
  async stop(): Promise<number | null> {
    this.#isStopping = true;
    clearTimeout(this.#timer);
    if (this.#child?.connected) this.#child.kill('SIGTERM');
    return this.#exited;
  }

  #spawn(): ChildProcess {
    const child = fork(MAIN, ['serve', ...this.#args], {
      execArgv: process.execArgv,
      env: { ...process.env, ...this.env, AEGIS_WORKER: String(this.index), AEGIS_ADMIN_LISTEN: '127.0.0.1:0' },
    });
    const startedAt = performance.now();
    this.#child = child;
    child.on('message', (message) => {
      this.ready = message as WorkerReady;
    });
    this.#exited = new Promise((resolve) => {
      const end = (code: number | null): void => {
        this.ready = null;
        if (performance.now() - startedAt > STEADY_MS) this.#pauseMs = FIRST_PAUSE_MS;
        resolve(code);
      };
      child.once('exit', end);
      // A process that could not be made (no memory, too many) never exits.
      child.once('error', () => end(null));
    });
    return child;
  }

  #again(): void {
    if (this.#isStopping) return;
    process.stderr.write(`aegis: worker ${this.index} died; it starts again in ${this.#pauseMs} ms\n`);
    this.#timer = setTimeout(() => {
      this.#spawn();
      void this.#exited.then(() => this.#again());
    }, this.#pauseMs);
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2);
  }
}

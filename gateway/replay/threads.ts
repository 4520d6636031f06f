import { Worker } from 'node:worker_threads';
import type { RowBatch } from './limit-rows.ts';
import type { Tally } from './tally.ts';
import type { FromWorker, Round, ToWorker, WorkerStart } from './worker-messages.ts';

/** Worker threads that replay rounds of records. */
export interface Threads {
  readonly count: number;
  /** Gives each thread its records of a round; resolves with what each says, in the order of the threads. */
  play(rounds: readonly Round[]): Promise<RowBatch[]>;
  /** Tells them that the log is over; what each has counted, and the CPU time of all, microseconds. */
  finish(): Promise<{ readonly tallies: Tally[]; readonly cpuUs: number }>;
  close(): Promise<void>;
}

interface Waiter {
  readonly resolve: (message: FromWorker) => void;
  readonly reject: (error: Error) => void;
}

/** Starts threads that have loaded both bundles when this resolves. What fails in one of them fails every call. */
export const openThreads = async (count: number, start: WorkerStart): Promise<Threads> => {
  const threads = Array.from({ length: count }, () => openThread(start));
  const close = async (): Promise<void> => {
    await Promise.all(threads.map((thread) => thread.close()));
  };
  try {
    await Promise.all(threads.map(({ heard }) => heard()));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    count,
    play: async (rounds) => {
      const answers = threads.map((thread, index) => {
        const round = rounds[index] as Round;
        return thread.ask(round, [round.bytes.buffer, round.lengths.buffer, round.indexes.buffer]);
      });
      return (await Promise.all(answers)) as unknown as RowBatch[];
    },
    finish: async () => {
      const ends = await Promise.all(threads.map((thread) => thread.ask('finish', [])));
      const counted = ends as Extract<FromWorker, { tally: Tally }>[];
      return { tallies: counted.map(({ tally }) => tally), cpuUs: counted.reduce((sum, { cpuUs }) => sum + cpuUs, 0) };
    },
    close,
  };
};

interface Thread {
  /** The next message. Messages answer questions in their order. */
  heard(): Promise<FromWorker>;
  ask(question: ToWorker, handed: ArrayBuffer[]): Promise<FromWorker>;
  close(): Promise<void>;
}

const openThread = (start: WorkerStart): Thread => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: start, name: 'replay' });
  const waiting: Waiter[] = [];
  let ended: Error | undefined;
  const end = (error: Error): void => {
    ended ??= error;
    for (const { reject } of waiting.splice(0)) reject(ended);
  };
  worker.on('message', (message: FromWorker) => waiting.shift()?.resolve(message));
  worker.on('error', (error) => end(error as Error));
  worker.on('exit', (code) => end(new Error(`a thread of the replay ended by itself (${code})`)));
  const heard = (): Promise<FromWorker> =>
    new Promise((resolve, reject) => {
      if (ended) reject(ended);
      else waiting.push({ resolve, reject });
    });
  return {
    heard,
    ask: (question, handed) => {
      const answer = heard();
      worker.postMessage(question, handed);
      return answer;
    },
    close: async () => {
      await worker.terminate();
    },
  };
};

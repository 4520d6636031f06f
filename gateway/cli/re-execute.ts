import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { auditLayout } from '../audit/layout.ts';
import { readFrames } from '../audit/read-frames.ts';
import { readBundle } from '../policy/bundle.ts';
import { CliError } from './cli-error.ts';

/** A decision that does not come out as it was recorded. */
export interface ReExecutionDifference {
  /** Of the decision; of the request where there was none. */
  readonly id: string;
  /** What differs first, such as `route.candidates[0].model: recorded "a", now "b"`. */
  readonly difference: string;
}

/** What deciding a log again gave. */
export interface ReExecution {
  readonly equal: number;
  readonly different: number;
  /** The first of them. */
  readonly differences: readonly ReExecutionDifference[];
  /** Decisions that could not be made again, by reason. */
  readonly notReExecuted: Readonly<Record<string, number>>;
}

/** Where the bundles are that decided. */
export interface BundlePlaces {
  /** Homes whose stores are asked, in order. */
  readonly homes: readonly string[];
  /** Files of further bundles by the digest of their content. */
  readonly files: ReadonlyMap<string, string>;
}

/** To a worker: the payloads of some records; from it: what became of them. */
export type ReExecutionReply = ReExecution;

const BATCH_RECORDS = 256;
/** More batches that wait in one worker take memory and save no time. */
const MOST_WAITING = 3;
const MOST_WORKERS = 8;
const MOST_DIFFERENCES = 100;

/**
 * Decides every recorded decision of a log again, each under the bundle of its digest, in as many threads as there are
 * processors, and compares. Stops without an error where the log is damaged: verifyAudit tells of that.
 */
export const reExecute = async (home: string, places: BundlePlaces): Promise<ReExecution> => {
  const workers = Array.from({ length: Math.min(availableParallelism(), MOST_WORKERS) }, () => openWorker(places));
  try {
    let turn = 0;
    for await (const batch of batchesOf(home)) {
      turn = (turn + 1) % workers.length;
      await workers[turn]?.take(batch);
    }
    return total(await Promise.all(workers.map((worker) => worker.end())));
  } finally {
    await Promise.all(workers.map((worker) => worker.close()));
  }
};

const EVENT = Buffer.from('{"kind":"event",');

async function* batchesOf(home: string): AsyncGenerator<Uint8Array[]> {
  let batch: Uint8Array[] = [];
  const skip = (payload: Buffer): boolean => payload.subarray(0, EVENT.length).equals(EVENT);
  try {
    for await (const { payload } of readFrames(auditLayout(home), { reuse: true, skip })) {
      batch.push(Uint8Array.from(payload));
      if (batch.length < BATCH_RECORDS) continue;
      yield batch;
      batch = [];
    }
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'audit_corrupt') throw error;
  }
  if (batch.length > 0) yield batch;
}

interface ReExecutor {
  /** Resolves when the worker has room for more. Rejects with what it died of. */
  take(batch: Uint8Array[]): Promise<void>;
  /** What became of all batches. */
  end(): Promise<ReExecution>;
  close(): Promise<void>;
}

const openWorker = (places: BundlePlaces): ReExecutor => {
  const worker = new Worker(new URL('./re-execute-worker.ts', import.meta.url), {
    workerData: places,
    name: 're-execute',
  });
  const replies: Promise<ReExecution>[] = [];
  const waiting: ((reply: ReExecution) => void)[] = [];
  const { promise: died, reject } = Promise.withResolvers<never>();
  died.catch(() => {});
  worker.on('error', reject);
  worker.on('exit', () => reject(new Error('a thread that decides again ended too early')));
  worker.on('message', (reply: ReExecutionReply) => waiting.shift()?.(reply));
  return {
    async take(batch) {
      const answered = new Promise<ReExecution>((resolve) => waiting.push(resolve));
      replies.push(Promise.race([answered, died]));
      worker.postMessage(
        batch,
        batch.map(({ buffer }) => buffer as ArrayBuffer),
      );
      await replies.at(-MOST_WAITING);
    },
    end: async () => total(await Promise.all(replies)),
    async close() {
      await worker.terminate();
    },
  };
};

const total = (parts: readonly ReExecution[]): ReExecution => {
  const notReExecuted: Record<string, number> = {};
  for (const part of parts) {
    for (const [reason, count] of Object.entries(part.notReExecuted)) {
      notReExecuted[reason] = (notReExecuted[reason] ?? 0) + count;
    }
  }
  return {
    equal: parts.reduce((sum, { equal }) => sum + equal, 0),
    different: parts.reduce((sum, { different }) => sum + different, 0),
    differences: parts
      .flatMap(({ differences }) => differences)
      .sort((a, b) => (a.id < b.id ? -1 : 1)) // ids sort by time
      .slice(0, MOST_DIFFERENCES),
    notReExecuted,
  };
};

/** The bundles in a folder, by digest. Throws CliError when the folder cannot be read or one of them is none. */
export const bundleFilesIn = async (folder: string): Promise<Map<string, string>> => {
  const files = new Map<string, string>();
  try {
    for (const name of (await readdir(folder)).sort()) {
      if (!name.endsWith('.tar.gz')) continue;
      const file = join(folder, name);
      files.set((await readBundle(await readFile(file))).digest, file);
    }
  } catch (error) {
    throw new CliError(`${folder}: ${String((error as { message?: unknown }).message ?? error)}`);
  }
  return files;
};

import { parentPort, workerData } from 'node:worker_threads';
import { type Database, openDatabase } from '../store/database.ts';
import { readArms } from '../store/experiment-readings.ts';
import type { ReaderReply, ReaderRequest, ReaderStore } from './experiment-reader.ts';

// The entry of the thread that reads experiments. The store is opened at the first question that finds it there.

if (parentPort === null) throw new TypeError('the experiment worker runs in a worker thread');
const port = parentPort;
const { home, url } = workerData as ReaderStore;

/** Somebody waits, and the watch looks again. */
const QUERY_TIMEOUT_MS = 50_000;

let opening: Promise<Database> | undefined;

const database = (): Promise<Database> => {
  opening ??= openDatabase(home, url, { queryTimeoutMs: QUERY_TIMEOUT_MS }).catch((error: unknown) => {
    opening = undefined;
    throw error;
  });
  return opening;
};

const answer = async ({ id, question }: ReaderRequest): Promise<ReaderReply> => {
  try {
    return { id, arms: await readArms((await database()).db, question) };
  } catch (error) {
    return { id, message: String((error as { message?: unknown } | null)?.message ?? error) };
  }
};

port.on('message', (request: ReaderRequest) => void answer(request).then((reply) => port.postMessage(reply)));

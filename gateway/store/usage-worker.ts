import { parentPort, workerData } from 'node:worker_threads';
import { type Database, openDatabase } from './database.ts';
import { readUsagePage, type UsageQuestion } from './usage-page.ts';
import type { ReportReply, ReportStore } from './usage-reports.ts';

// The entry of the thread that reads reports. The store is opened at the first question that finds it there.

if (parentPort === null) throw new TypeError('the usage worker runs in a worker thread');
const port = parentPort;
const { home, url } = workerData as ReportStore;

let database: Database | undefined;

const answer = async (question: UsageQuestion): Promise<ReportReply> => {
  try {
    database ??= await openDatabase(home, url);
    return { page: await readUsagePage(database.db, question) };
  } catch (error) {
    const { name, message } = (error ?? {}) as { name?: unknown; message?: unknown };
    return { trouble: name === 'RangeError' && isAboutMark(question) ? 'cursor' : 'away', message: String(message) };
  }
};

const isAboutMark = ({ after }: UsageQuestion): boolean => after !== null;

port.on('message', (question: UsageQuestion) => void answer(question).then((reply) => port.postMessage(reply)));

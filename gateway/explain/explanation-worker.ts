import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { findDecisionByTime } from '../audit/find-by-time.ts';
import { logHomesIn } from '../log-homes.ts';
import { timeOfId } from '../stages/ids.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { findDecisionRecord } from '../store/decision-records.ts';
import type { Input } from '../types.gen.ts';
import { type DecisionRecords, explainRecords, explanationJson } from './explanation.ts';
import type { ExplanationPlaces, ExplanationQuestion, ExplanationReply } from './explanations.ts';

// The entry of the thread that looks decisions up and explains them.

if (parentPort === null) throw new TypeError('explanations are made in a worker thread');
const port = parentPort;
const { home, url } = workerData as ExplanationPlaces;

let database: Database | undefined;

type Found = DecisionRecords & { readonly source: 'store' | 'audit log' };

/** The store's copy costs one look; the log is the original, and the only place of what the store does not keep. */
const find = async (id: string): Promise<Found | undefined> => {
  const timeMs = timeOfId(id);
  if (timeMs === undefined) return undefined;
  let away: unknown;
  const stored = await fromStore(id).catch((error: unknown) => {
    away = error;
    return undefined;
  });
  if (stored?.outcome) return stored;
  for (const logHome of logHomesIn(home)) {
    const found = await findDecisionByTime(logHome, id, timeMs);
    if (found) return { ...found, source: 'audit log' };
  }
  if (away !== undefined) throw away;
  return stored;
};

/** A store that hangs leaves time for the log. */
const STORE_TIMEOUT_MS = 5_000;

const fromStore = (id: string): Promise<Found | undefined> =>
  Promise.race([
    lookedUp(id),
    pause(STORE_TIMEOUT_MS).then(() => {
      throw new Error('the store is slow');
    }),
  ]);

const lookedUp = async (id: string): Promise<Found | undefined> => {
  database ??= await openDatabase(home, url);
  const record = await findDecisionRecord(database.db, id);
  if (!record) return undefined;
  const { intent, outcome } = record;
  return {
    id,
    intent: intent ?? undefined,
    outcome: outcome ?? undefined,
    events: [],
    position: undefined,
    source: 'store',
  };
};

const answer = async ({ id, org }: ExplanationQuestion): Promise<ExplanationReply> => {
  try {
    const found = await find(id);
    if (!found || (org !== null && orgOf(found) !== org)) return { explanation: undefined };
    const explanation = await explainRecords(found, [home, ...logHomesIn(home)]);
    return { explanation: { source: found.source, ...explanationJson(explanation) } };
  } catch (error) {
    return { trouble: String((error as { message?: unknown } | null)?.message ?? error) };
  }
};

const orgOf = ({ intent, outcome }: DecisionRecords): string | undefined => {
  const input = (intent?.input ?? outcome?.input) as Input | null | undefined;
  return input?.caller.org ?? outcome?.caller?.org;
};

port.on('message', (question: ExplanationQuestion) => void answer(question).then((reply) => port.postMessage(reply)));

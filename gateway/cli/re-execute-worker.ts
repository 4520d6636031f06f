import { readFile } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { type Bundle, readBundle } from '../policy/bundle.ts';
import { readStoredBundle } from '../policy/bundle-store.ts';
import { createPolicy } from '../policy/engine.ts';
import type { Policy } from '../policy/policy.ts';
import { completeInput } from '../replay/complete-input.ts';
import { decidedRecordOf, reDecide, verdictOf } from '../replay/re-decide.ts';
import type { AuditRecord } from '../types.gen.ts';
import { firstDifference } from './first-difference.ts';
import type { BundlePlaces, ReExecutionDifference, ReExecutionReply } from './re-execute.ts';

// The entry of a thread that decides recorded decisions again, batch by batch.

if (parentPort === null) throw new TypeError('the re-execution runs in a worker thread');
const port = parentPort;
const { homes, files } = workerData as BundlePlaces;

/** A policy, or why there is none. */
type Loaded = Policy | string;

const load = async (digest: string): Promise<Loaded> => {
  const short = digest.slice(0, 16);
  try {
    const bundle = await find(digest);
    return bundle
      ? await createPolicy(bundle)
      : `bundle ${short} is not in the home (name a folder that has it with --bundles)`;
  } catch (error) {
    return `bundle ${short} cannot be loaded: ${String((error as { message?: unknown } | null)?.message ?? error)}`;
  }
};

const find = async (digest: string): Promise<Bundle | undefined> => {
  for (const home of homes) {
    const bundle = await readStoredBundle(home, digest);
    if (bundle) return bundle;
  }
  const file = files.get(digest);
  return file === undefined ? undefined : readBundle(await readFile(file));
};

const policies = new Map<string, Promise<Loaded>>();
const policyOf = (digest: string): Promise<Loaded> => {
  const known = policies.get(digest) ?? load(digest);
  policies.set(digest, known);
  return known;
};

/** `equal`, a difference, or why it was not decided again; undefined for records that are of no decision. */
type Verdict = 'equal' | ReExecutionDifference | { readonly not: string } | undefined;

const verdictOn = async (record: AuditRecord): Promise<Verdict> => {
  const decided = decidedRecordOf(record);
  if (!decided) return verdictOnFailure(record);
  const policy = await policyOf(decided.bundle.digest);
  if (typeof policy === 'string') return { not: policy };
  const again = reDecide(policy, decided);
  if (again.result === 'equal') return 'equal';
  if (again.result === 'unfit') return { not: `the recorded input is none of this version (${again.reason})` };
  const difference =
    'decided' in again
      ? firstDifference(decided.decision, again.decided)
      : `a decision was recorded, and now there is none: ${again.reason}`;
  return { id: decided.id, difference };
};

/** A request that the policy could not decide: it must fail again. */
const verdictOnFailure = async (record: AuditRecord): Promise<Verdict> => {
  if (record.kind !== 'outcome' || record.error !== 'policy_unavailable' || !record.input || record.decision) return;
  if (!record.bundle) return { not: 'a policy error whose record names no bundle' };
  const policy = await policyOf(record.bundle.digest);
  if (typeof policy === 'string') return { not: policy };
  const verdict = verdictOf(policy, completeInput(record.input).input);
  if ('failure' in verdict) return 'equal';
  return { id: record.request_id, difference: 'no decision was recorded, a policy error, and now there is one' };
};

const answer = async (batch: readonly Uint8Array[]): Promise<ReExecutionReply> => {
  let equal = 0;
  const differences: ReExecutionDifference[] = [];
  const notReExecuted: Record<string, number> = {};
  for (const payload of batch) {
    const verdict = await verdictOn(JSON.parse(Buffer.from(payload).toString('utf8')) as AuditRecord);
    if (verdict === undefined) continue;
    if (verdict === 'equal') equal++;
    else if ('not' in verdict) notReExecuted[verdict.not] = (notReExecuted[verdict.not] ?? 0) + 1;
    else differences.push(verdict);
  }
  return { equal, different: differences.length, differences, notReExecuted };
};

// One batch after the other, so that answers come in the order of the questions.
let last: Promise<unknown> = Promise.resolve();
port.on('message', (batch: readonly Uint8Array[]) => {
  last = last.then(async () => port.postMessage(await answer(batch)));
});

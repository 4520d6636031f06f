import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAuditLog } from '../gateway/audit/log.ts';
import { readBundle } from '../gateway/policy/bundle.ts';
import { createPolicy } from '../gateway/policy/engine.ts';
import type { Policy } from '../gateway/policy/policy.ts';
import { createPriceTable } from '../gateway/prices.ts';
import { createAuditSource } from '../gateway/replay/audit-source.ts';
import { replay } from '../gateway/replay/replay.ts';
import { newIds } from '../gateway/stages/ids.ts';
import type { AuditIntent, AuditOutcome, Input } from '../gateway/types.gen.ts';
import { demoInputs } from '../test/support/demo-inputs.ts';

// Decisions a second of `aegis replay`, on a log of the default policies' decisions that the real writer has written.
// `node bench/replay.ts [decisions] [threads] [candidate bundle]`

const decisions = Number(process.argv[2] ?? 50_000);
const threads = Number(process.argv[3] ?? availableParallelism());
const MONTH_MS = 30 * 86_400_000;
const USERS = 2_000;

const packed = await readFile(new URL('../bundles/default.tar.gz', import.meta.url));
const bundle = await readBundle(packed);
const policy = await createPolicy(bundle);
const prices = createPriceTable(policy.data, policy.ref.revision);
const home = await mkdtemp(join(tmpdir(), 'aegis-bench-replay-'));

/** A request of one of many users, of some size, at some moment of a month. */
const vary = (base: Input, number: number, requestId: string, timeMs: number): Input => ({
  ...base,
  request: { ...base.request, id: requestId, time: new Date(timeMs).toISOString() },
  caller: { ...base.caller, id: `key_${number % USERS}`, user: base.caller.user && `user${number % USERS}` },
  content: {
    ...base.content,
    tokens_estimate: 40 + ((number * 7919) % 4_000),
    bytes: 200 + ((number * 7919) % 16_000),
  },
  bucket: { ...base.bucket, request: number % 10_000, user: (number * 83) % 10_000 },
});

/** The two records of a request, or the one of a refused one. */
const recordsOf = (base: Input, number: number): { intent?: AuditIntent; outcome: AuditOutcome } => {
  const timeMs = Date.UTC(2026, 10, 1) + Math.floor((MONTH_MS / decisions) * number);
  const { requestId, decisionId } = newIds(timeMs);
  const input = vary(base, number, requestId, timeMs);
  const decision = policy.decide(input);
  const model = decision.allow ? (decision.route.candidates[0]?.model ?? null) : null;
  const usage = model
    ? {
        input: input.content.tokens_estimate,
        cache_read: 0,
        cache_write: 0,
        cache_write_1h: 0,
        output: (number * 31) % 900,
        reasoning: 0,
        source: 'provider' as const,
      }
    : null;
  const outcome: AuditOutcome = {
    kind: 'outcome',
    id: decisionId,
    request_id: requestId,
    time: new Date(timeMs + 900).toISOString(),
    outcome: model ? 'ok' : 'denied',
    status: model ? 200 : 403,
    error: model ? null : 'policy_denied',
    caller: { id: input.caller.id, org: input.caller.org, team: input.caller.team, user: input.caller.user },
    purpose: input.purpose,
    endpoint: input.request.endpoint,
    tier: decision.rate.tier,
    input: model ? null : (input as unknown as NonNullable<AuditOutcome['input']>),
    decision: model ? null : (decision as unknown as NonNullable<AuditOutcome['decision']>),
    bundle: policy.ref,
    model,
    upstream: model ? (decision.route.candidates[0]?.upstream ?? null) : null,
    attempts: model ? [{ model, upstream: 'openai', status: 200, error: null, ms: 800 }] : [],
    usage,
    cost: {
      micro_usd: model && usage ? prices.cost(model, usage) : 0,
      price_version: model ? policy.ref.revision : null,
    },
    stages_us: {
      receive: 60,
      authenticate: 20,
      read: 200,
      describe: 300,
      decide: 60,
      admit: 20,
      mask: 80,
      intent: 900,
      forward: 800_000,
    },
    duration_ms: 900,
    content: null,
  };
  if (!model) return { outcome };
  const intent: AuditIntent = {
    kind: 'intent',
    id: decisionId,
    time: input.request.time,
    input: input as unknown as AuditIntent['input'],
    decision: decision as unknown as AuditIntent['decision'],
    bundle: policy.ref,
    reserved_micro_usd: 20_000,
    masked: {},
    content: null,
  };
  return { intent, outcome };
};

const writeLog = async (): Promise<number> => {
  const inputs = Object.values(demoInputs()).filter(({ request }) => request.endpoint !== 'models');
  const log = await openAuditLog({ home });
  let records = 0;
  let waiting: Promise<unknown>[] = [];
  for (let number = 0; number < decisions; number++) {
    const { intent, outcome } = recordsOf(inputs[number % inputs.length] as Input, number);
    for (const record of intent ? [intent, outcome] : [outcome]) {
      waiting.push(log.append(record));
      records++;
    }
    if (waiting.length > 2_000) {
      await Promise.all(waiting);
      waiting = [];
    }
  }
  await Promise.all(waiting);
  await log.close();
  return records;
};

const measure = async (name: string, reExecute: boolean, candidate: Uint8Array): Promise<void> => {
  const cpu = process.cpuUsage();
  const started = performance.now();
  const { tally } = await replay({
    source: createAuditSource([home]),
    range: { sinceMs: undefined, untilMs: undefined },
    before: { packed, bundle },
    after: { packed: candidate, bundle: await readBundle(candidate) },
    reExecute,
    threads,
  });
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu); // of all threads
  const cpuSeconds = (user + system) / 1e6;
  const million = 1e6 / tally.decisions;
  console.log(
    `${name}: ${tally.decisions} decisions in ${seconds.toFixed(1)} s with ${threads} threads: ${Math.round(tally.decisions / seconds)} a second;` +
      ` CPU ${Math.round((cpuSeconds * 1e6) / tally.decisions)} µs each. A million: ${(seconds * million).toFixed(0)} s here,` +
      ` ${((cpuSeconds * million) / 2).toFixed(0)} s on two cores of its own`,
  );
};

try {
  const records = await writeLog();
  console.log(`a log of ${decisions} decisions, ${records} records (${(policy as Policy).ref.revision})`);
  const file = process.argv[4];
  const candidate = file === undefined ? packed : await readFile(file);
  await measure('serving decisions from the log', false, candidate);
  await measure('both bundles decide', true, candidate);
} finally {
  await rm(home, { recursive: true, force: true });
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditContent, AuditLog } from '../gateway/audit/audit-log.ts';
import { findDecision } from '../gateway/audit/find.ts';
import { openAuditLog } from '../gateway/audit/log.ts';
import { readAudit } from '../gateway/audit/read.ts';
import { verifyAudit } from '../gateway/audit/verify.ts';
import type { AuditIntent, AuditOutcome } from '../gateway/types.gen.ts';

// CPU and latency of the audit log: one 3 KB intent and one 2 KB outcome a request, each awaited before the next, by a
// number of callers at a time, without and with 8 KB of prompt and answer; and a long answer written in pieces.
// `node bench/audit.ts [home on the disk to measure]`

const ROUNDS = 5;
const DEFAULT_REQUESTS = 4000;

const text = (bytes: number): string =>
  'The quick brown fox jumps over the lazy dog. '.repeat(bytes / 45 + 1).slice(0, bytes);

const padded = (bytes: number): Record<string, unknown> => {
  const fields: Record<string, unknown> = {};
  for (let index = 0; JSON.stringify(fields).length < bytes; index++) {
    fields[`field_${index}`] = {
      name: `value ${index}`,
      count: index,
      ratio: index / 7,
      flag: index % 2 === 0,
      tags: ['a', 'b'],
    };
  }
  return fields;
};

const INPUT = padded(1900);
const DECISION = padded(800);
const BUNDLE = { digest: 'd'.repeat(64), revision: 'a1b2c3d4e5f6' };

const intent = (id: string): AuditIntent => ({
  kind: 'intent',
  id,
  time: '2026-11-24T10:00:00.000Z',
  input: INPUT,
  decision: DECISION,
  bundle: BUNDLE,
  reserved_micro_usd: 41228,
  masked: { email: 1 },
  content: null,
});

const ATTEMPTS = Array.from({ length: 10 }, (_, index) => ({
  model: `model-${index}`,
  upstream: 'openai',
  status: 503,
  error: 'overloaded',
  ms: 12.5,
}));

const outcome = (id: string): AuditOutcome => ({
  kind: 'outcome',
  id,
  request_id: `req_${id}`,
  time: '2026-11-24T10:00:01.000Z',
  outcome: 'ok',
  status: 200,
  error: null,
  caller: { id: 'key_5c9c0dd79462191487', org: 'demo-university', team: 'cs101', user: 'sam' },
  purpose: {
    workflow: 'essay-feedback',
    use_case: 'grading',
    session: 's-1',
    tags: { course: 'CS101', note: text(500) },
  },
  endpoint: 'chat.completions',
  tier: 'standard',
  input: null,
  decision: null,
  bundle: BUNDLE,
  model: 'gpt-6-sol',
  upstream: 'openai',
  attempts: ATTEMPTS,
  usage: {
    input: 1000,
    cache_read: 0,
    cache_write: 0,
    cache_write_1h: 0,
    output: 300,
    reasoning: 0,
    source: 'provider',
  },
  cost: { micro_usd: 938, price_version: 'a1b2c3d4e5f6' },
  stages_us: {
    receive: 1,
    authenticate: 2,
    read: 3,
    describe: 4,
    decide: 5,
    admit: 6,
    mask: 7,
    intent: 8,
    forward: 9,
    restore: 10,
    account: 11,
  },
  duration_ms: 12.1,
  content: null,
});

const CONTENT: AuditContent = { chunks: [Buffer.from(text(8192))], retentionDays: 90 };

interface Result {
  readonly cpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
}

const measure = async (log: AuditLog, callers: number, requests: number, content?: AuditContent): Promise<Result> => {
  const latencies: number[] = [];
  let next = 0;
  const append = async (record: AuditIntent | AuditOutcome): Promise<void> => {
    const started = performance.now();
    await log.append(record, content);
    latencies.push(performance.now() - started);
  };
  const call = async (): Promise<void> => {
    while (next < requests) {
      const id = `dec_${String(next++).padStart(26, '0')}`;
      await append(intent(id));
      await append(outcome(id));
    }
  };
  const cpu = process.cpuUsage();
  const started = performance.now();
  await Promise.all(Array.from({ length: callers }, call));
  const elapsedMs = performance.now() - started;
  const { user, system } = process.cpuUsage(cpu);
  latencies.sort((a, b) => a - b);
  return {
    cpuUs: (user + system) / latencies.length,
    p50Ms: latencies[Math.floor(latencies.length / 2)] as number,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] as number,
    perSecond: (latencies.length / elapsedMs) * 1000,
  };
};

const LONG_BYTES = 64 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
/** What a stream gives at a time. */
const PIECE = Array.from({ length: PIECE_BYTES / 1024 }, () => Buffer.from(text(1024)));

interface LongResult {
  readonly cpuMs: number;
  readonly writeMs: number;
  readonly appendMs: number;
  readonly parts: number;
}

/** One answer of 64 MB in pieces, each awaited as a stream does that is faster than the disk. */
const measureLong = async (log: AuditLog, number: number): Promise<LongResult> => {
  const id = `dec_long_${number}`;
  await log.append(intent(id));
  const cpu = process.cpuUsage();
  const started = performance.now();
  const draft = log.openContent(90);
  while (draft.bytes < LONG_BYTES) await draft.write(PIECE);
  const written = performance.now();
  const ref = await log.append(outcome(id), { chunks: PIECE, retentionDays: 90, draft });
  const ended = performance.now();
  const { user, system } = process.cpuUsage(cpu);
  return {
    cpuMs: (user + system) / 1000,
    writeMs: written - started,
    appendMs: ended - written,
    parts: ref?.parts?.length ?? 0,
  };
};

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] as number;

const CASES: { name: string; callers: number; requests: number; content?: AuditContent }[] = [
  { name: 'alone', callers: 1, requests: DEFAULT_REQUESTS / 10 },
  { name: 'alone, 8 KB content', callers: 1, requests: DEFAULT_REQUESTS / 10, content: CONTENT },
  { name: '64 callers', callers: 64, requests: DEFAULT_REQUESTS },
  { name: '64 callers, 8 KB content', callers: 64, requests: DEFAULT_REQUESTS / 2, content: CONTENT },
];

const home = await mkdtemp(join(process.argv[2] ?? tmpdir(), 'aegis-bench-audit-'));
try {
  const log = await openAuditLog({ home });
  for (const { callers, content } of CASES) await measure(log, callers, 500, content);
  const results = CASES.map((): Result[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, { callers, requests, content }] of CASES.entries()) {
      results[index]?.push(await measure(log, callers, requests, content));
    }
  }
  const sizes = [intent('dec_00000000000000000000000000'), outcome('dec_00000000000000000000000000')].map(
    (record) => JSON.stringify(record).length,
  );
  console.log(`intent ${sizes[0]} B, outcome ${sizes[1]} B; medians of ${ROUNDS} interleaved rounds\n`);
  console.log(
    `${'case'.padEnd(26)}${'CPU µs/record'.padStart(14)}${'p50 ms'.padStart(9)}${'p99 ms'.padStart(9)}${'records/s'.padStart(11)}`,
  );
  for (const [index, { name }] of CASES.entries()) {
    const of = (pick: (result: Result) => number): number => median((results[index] as Result[]).map(pick));
    const cells = [
      of((r) => r.cpuUs)
        .toFixed(1)
        .padStart(14),
      of((r) => r.p50Ms)
        .toFixed(2)
        .padStart(9),
      of((r) => r.p99Ms)
        .toFixed(2)
        .padStart(9),
    ];
    console.log(
      `${name.padEnd(26)}${cells.join('')}${of((r) => r.perSecond)
        .toFixed(0)
        .padStart(11)}`,
    );
  }
  const long: LongResult[] = [];
  for (let round = 0; round < ROUNDS; round++) long.push(await measureLong(log, round));
  const of = (pick: (result: LongResult) => number): number => median(long.map(pick));
  const mebibytes = LONG_BYTES / 1024 / 1024;
  console.log(
    `\n${mebibytes} MiB in ${of((r) => r.parts)} pieces: ${of((r) => r.cpuMs).toFixed(0)} ms CPU (${((of((r) => r.cpuMs) * 1000) / of((r) => r.parts)).toFixed(0)} µs a piece), ${of((r) => r.writeMs).toFixed(0)} ms to write, ${of((r) => r.appendMs).toFixed(1)} ms for its outcome`,
  );
  await log.close();

  const timed = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    const started = performance.now();
    const what = await work();
    console.log(`${name.padEnd(26)}${(performance.now() - started).toFixed(0).padStart(14)} ms  ${String(what)}`);
  };
  console.log();
  await timed('reopen', async () => {
    const again = await openAuditLog({ home });
    await again.close();
    return '';
  });
  await timed('read all', async () => {
    let records = 0;
    for await (const _ of readAudit(home)) records += 1;
    return `${records} records`;
  });
  await timed('verify all', async () => {
    const { records, contents } = await verifyAudit(home);
    return `${records} records, ${contents.kept} contents`;
  });
  await timed(
    'find a decision',
    async () => (await findDecision(home, 'dec_00000000000000000000000007'))?.position.segment,
  );
} finally {
  await rm(home, { recursive: true, force: true });
}

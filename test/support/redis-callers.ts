import type { Demand } from '../../gateway/limit/limiter.ts';
import { openRedisLimiter } from '../../gateway/limit/redis.ts';

// One gateway's worth of callers that share a budget with other processes, until it is used up or they are told to
// stop. Started by tests with a JSON argument; prints one JSON line at its end.

/** What a process of callers is told. */
export interface CallersOptions {
  readonly url: string;
  readonly prefix: string;
  readonly callers: number;
  readonly capMicroUsd: number;
  /** Each request reserves it, and costs from a tenth of it to all of it. */
  readonly boundMicroUsd: number;
  readonly leaseMs: number;
  /** How long a request is under way, milliseconds. */
  readonly workMs: number;
  /** Until when; a used-up budget does not end it. 0: until the budget is used up. */
  readonly untilMs: number;
}

/** What it prints. */
export interface CallersReport {
  /** Micro-USD that its requests cost. */
  readonly spent: number;
  readonly granted: number;
  /** Of those, granted while Redis was away. */
  readonly local: number;
  readonly refused: number;
  readonly errors: readonly string[];
  /** How long takes took, milliseconds. */
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** The one budget of all. */
export const BUDGET = { scope: 'org', subject: 'acme', period: 'day', timezone: 'UTC' } as const;

/** Refusals in a row after which a caller gives up: others may give back what they did not use. */
const PATIENCE = 25;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const run = async (options: CallersOptions): Promise<CallersReport> => {
  const { url, prefix, callers, capMicroUsd, boundMicroUsd, leaseMs, workMs, untilMs } = options;
  const limiter = await openRedisLimiter({ url, prefix, leaseMs });
  const report = { spent: 0, granted: 0, local: 0, refused: 0, errors: [] as string[] };
  const waits: number[] = [];
  let count = 0;

  const caller = async (): Promise<void> => {
    for (let refusals = 0; untilMs > 0 ? Date.now() < untilMs : refusals < PATIENCE; ) {
      const demands: Demand[] = [
        { kind: 'spend', ...BUDGET, capMicroUsd, amount: boundMicroUsd },
        { kind: 'concurrent', scope: 'org', subject: 'acme', max: 100_000, amount: 1 },
        { kind: 'requests', scope: 'org', subject: 'acme', perMinute: 1e9, amount: 1 },
      ];
      const id = `${process.pid}-${count++}`;
      const before = performance.now();
      try {
        const answer = await limiter.take(id, 'acme', demands, Date.now());
        waits.push(performance.now() - before);
        if (!answer.granted) {
          report.refused++;
          if (answer.retryAfterMs === null) refusals++;
          await pause(10 + Math.random() * 20);
          continue;
        }
        refusals = 0;
        report.granted++;
        if (answer.degraded !== undefined) report.local++;
        await pause(Math.random() * 2 * workMs);
        const microUsd = Math.ceil(boundMicroUsd * (0.1 + 0.9 * Math.random()));
        report.spent += microUsd;
        limiter.settle(id, { tokens: 0, microUsd }, Date.now());
      } catch (error) {
        report.errors.push(String(error));
        await pause(10);
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  await limiter.close();
  waits.sort((a, b) => a - b);
  return { ...report, p99Ms: waits[Math.floor(waits.length * 0.99)] ?? 0, maxMs: waits.at(-1) ?? 0 };
};

if (process.argv[1]?.endsWith('redis-callers.ts')) {
  const report = await run(JSON.parse(process.argv[2]!) as CallersOptions);
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { openTestRedis, type TestRedis } from '../test/support/redis.ts';
import { BUDGET, type CallersOptions, type CallersReport } from '../test/support/redis-callers.ts';

// What several gateways on one Redis do to one budget, and what a Redis that dies or hangs does to them. Real processes,
// a Redis of its own. Prints one JSON line a case: how much of the budget was used, of takes how many were granted,
// refused, granted while Redis was away, and the milliseconds that takes took.

const CALLERS = fileURLToPath(new URL('../test/support/redis-callers.ts', import.meta.url));
const FAULT_MS = 10_000;
const AROUND_MS = 4_000;

const start = (options: CallersOptions): Promise<CallersReport> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CALLERS, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.once('exit', (code) =>
      code === 0 ? resolve(JSON.parse(out) as CallersReport) : reject(new Error(`callers ended with ${code}`)),
    );
  });

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const run = async (
  name: string,
  processes: number,
  options: Pick<CallersOptions, 'callers' | 'capMicroUsd' | 'workMs' | 'untilMs'>,
  fault: (redis: TestRedis) => Promise<void> = async () => {},
): Promise<void> => {
  const redis = await openTestRedis();
  try {
    const all = { ...options, url: redis.url, prefix: 'bench', boundMicroUsd: 100, leaseMs: 60_000 };
    const running = Array.from({ length: processes }, () => start(all));
    await fault(redis);
    const reports = await Promise.all(running);
    const sum = (of: (report: CallersReport) => number): number => reports.reduce((total, one) => total + of(one), 0);
    const { capMicroUsd } = options;
    const spent = sum((report) => report.spent);
    const day = new Date().toISOString().slice(0, 10);
    const key = `bench:{o:acme}:s:${day}:${BUDGET.timezone}:${BUDGET.scope}:${BUDGET.subject}`;
    const value = await redis.client.getBuffer(key);
    const percent = (part: number): number => Number(((100 * part) / capMicroUsd).toFixed(2));
    console.log(
      JSON.stringify({
        case: name,
        processes,
        callers: options.callers,
        overshootPercent: Math.max(0, percent(spent - capMicroUsd)),
        usedPercent: percent(spent),
        reservedAtEnd: value?.readDoubleLE(8) ?? null,
        granted: sum((report) => report.granted),
        local: sum((report) => report.local),
        refused: sum((report) => report.refused),
        errors: sum((report) => report.errors.length),
        p99Ms: Number(Math.max(...reports.map((report) => report.p99Ms)).toFixed(1)),
        maxMs: Number(Math.max(...reports.map((report) => report.maxMs)).toFixed(1)),
      }),
    );
  } finally {
    redis.resume();
    await redis.close();
  }
};

await run('race', 4, { callers: 200, capMicroUsd: 1_000_000, workMs: 5, untilMs: 0 });
const load = { callers: 50, capMicroUsd: 1e9, workMs: 40 };
const until = (): number => Date.now() + FAULT_MS + 2 * AROUND_MS;
await run('calm', 2, { ...load, untilMs: Date.now() + 2 * AROUND_MS });
await run('killed', 2, { ...load, untilMs: until() }, async (redis) => {
  await pause(AROUND_MS);
  await redis.kill();
  await pause(FAULT_MS);
  await redis.start();
});
await run('stopped', 2, { ...load, untilMs: until() }, async (redis) => {
  await pause(AROUND_MS);
  redis.pause();
  await pause(FAULT_MS);
  redis.resume();
});

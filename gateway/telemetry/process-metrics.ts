import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics } from 'node:v8';
import type { Registry } from './registry.ts';

const WINDOW_MS = 10_000;
/** How often the delay is sampled; it also is what an idle loop seems to be late. */
const RESOLUTION_MS = 20;
const NS_PER_S = 1e9;
const US_PER_S = 1e6;

/** Watches the process itself: CPU, memory, and how late its event loop is. Gives what ends it. */
export const watchProcess = (registry: Registry): (() => void) => {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  let last = windowOf(delay);
  let elapsed = performance.eventLoopUtilization();
  let utilization = 0;
  // Windows of its own, so that two who collect do not take each other's.
  const timer = setInterval(() => {
    last = windowOf(delay);
    delay.reset();
    const now = performance.eventLoopUtilization();
    ({ utilization } = performance.eventLoopUtilization(now, elapsed));
    elapsed = now;
  }, WINDOW_MS).unref();
  registry.watch('nodejs.eventloop.delay.p50', () => [{ value: last.p50 }]);
  registry.watch('nodejs.eventloop.delay.p99', () => [{ value: last.p99 }]);
  registry.watch('nodejs.eventloop.delay.max', () => [{ value: last.max }]);
  registry.watch('nodejs.eventloop.utilization', () => [{ value: utilization }]);
  registry.watch('process.cpu.time', () => {
    const { user, system } = process.cpuUsage();
    return [
      { value: user / US_PER_S, labels: { 'cpu.mode': 'user' } },
      { value: system / US_PER_S, labels: { 'cpu.mode': 'system' } },
    ];
  });
  registry.watch('process.memory.usage', () => [{ value: process.memoryUsage.rss() }]);
  registry.watch('process.uptime', () => [{ value: process.uptime() }]);
  registry.watch('process.unix.file_descriptor.count', () => [{ value: readdirSync('/proc/self/fd').length }]);
  registry.watch('v8js.memory.heap.used', () =>
    getHeapSpaceStatistics().map(({ space_name: space, space_used_size: value }) => ({
      value,
      labels: { 'v8js.heap.space.name': space },
    })),
  );
  return () => {
    clearInterval(timer);
    delay.disable();
  };
};

interface DelayWindow {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** How much later than asked for the samples came, seconds. */
const windowOf = (delay: ReturnType<typeof monitorEventLoopDelay>): DelayWindow => {
  if (delay.count === 0) return { p50: 0, p99: 0, max: 0 };
  const late = (ns: number): number => Math.max(0, ns / NS_PER_S - RESOLUTION_MS / 1000);
  return { p50: late(delay.percentile(50)), p99: late(delay.percentile(99)), max: late(delay.max) };
};

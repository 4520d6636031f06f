import { type LoadResult, runLoad } from './load.ts';
import type { TargetResult, WorkloadResult } from './results.ts';
import { spreadOf } from './statistics.ts';
import { BASELINE, type Target } from './target.ts';
import { STREAM_CHUNKS, type Workload } from './workload.ts';

export interface Bench {
  readonly loadCore: number;
  readonly loadProgram: string;
  readonly mockUrl: string;
  readonly targets: readonly Target[];
  readonly rounds: number;
  readonly seconds: number;
  readonly bodyFile: (workload: Workload) => string;
  readonly say: (line: string) => void;
}

/** Enough for V8 to have compiled what is hot: the gateway needs some thousand requests. */
const WARM_UP_S = 10;

/** What one round gave for one target. */
interface Sample {
  readonly requestsPerSecond: number;
  readonly cpuUs: number;
  readonly p99Us: number;
  readonly addedUs: number;
  readonly addedFirstByteUs: number;
}

/** Measures one workload: every target once a round, in an order that turns with the rounds, so that the machine's moods fall on all. */
export const measure = async (bench: Bench, workload: Workload): Promise<WorkloadResult> => {
  const load = async (url: string, key: string, connections: number, seconds: number): Promise<LoadResult> => {
    const bodyFile = bench.bodyFile(workload);
    const { loadCore: core, loadProgram: program } = bench;
    // One connection gets the whole allowance, or its run would end before it has a median.
    const requestsMax = connections === 1 ? workload.requestsMax * 8 : workload.requestsMax;
    try {
      return await runLoad({ core, program, url, key, bodyFile, connections, seconds, requestsMax }, workload);
    } catch (error) {
      const target = bench.targets.find((one) => one.url === url);
      throw new Error(`${target?.name ?? 'mock'}: ${(error as Error).message}\n${target?.process.output() ?? ''}`);
    }
  };
  for (const { url, key } of bench.targets) await load(url, key, workload.connections, WARM_UP_S);

  const samples = new Map<string, Sample[]>(bench.targets.map(({ name }) => [name, []]));
  const mock: number[] = [];
  for (let round = 0; round < bench.rounds; round++) {
    const direct = await load(bench.mockUrl, '', workload.connections, bench.seconds / 2);
    const directOne = await load(bench.mockUrl, '', 1, bench.seconds / 4);
    mock.push(direct.requests / direct.seconds);
    for (let i = 0; i < bench.targets.length; i++) {
      const target = bench.targets[(i + round) % bench.targets.length]!;
      const cpuBefore = target.process.cpuSeconds();
      const busy = await load(target.url, target.key, workload.connections, bench.seconds);
      const cpuSeconds = target.process.cpuSeconds() - cpuBefore;
      const one = await load(target.url, target.key, 1, bench.seconds / 2);
      const sample: Sample = {
        requestsPerSecond: busy.requests / busy.seconds,
        cpuUs: (cpuSeconds * 1e6) / busy.requests,
        p99Us: busy.p99_us,
        addedUs: one.p50_us - directOne.p50_us,
        addedFirstByteUs: one.first_byte_p50_us - directOne.first_byte_p50_us,
      };
      samples.get(target.name)!.push(sample);
      const { requestsPerSecond, cpuUs, addedUs } = sample;
      bench.say(
        `${workload.name}, round ${round + 1}: ${target.name.padEnd(9)} ${requestsPerSecond.toFixed(0)} requests/s, ` +
          `${cpuUs.toFixed(0)} µs CPU, + ${addedUs.toFixed(0)} µs at one connection`,
      );
    }
  }
  return {
    name: workload.name,
    stream: workload.stream,
    bodyBytes: Buffer.byteLength(workload.body),
    connections: workload.connections,
    chunks: workload.stream ? STREAM_CHUNKS : 0,
    mockRequestsPerSecond: spreadOf(mock),
    targets: bench.targets.map(({ name }) => resultOf(name, samples.get(name)!, samples.get(BASELINE)!)),
  };
};

const resultOf = (name: string, samples: readonly Sample[], baseline: readonly Sample[]): TargetResult => ({
  name,
  requestsPerSecond: spreadOf(samples.map((s) => s.requestsPerSecond)),
  cpuUs: spreadOf(samples.map((s) => s.cpuUs)),
  p99Us: spreadOf(samples.map((s) => s.p99Us)),
  addedUs: spreadOf(samples.map((s) => s.addedUs)),
  addedFirstByteUs: spreadOf(samples.map((s) => s.addedFirstByteUs)),
  ratio: spreadOf(samples.map((s, i) => s.requestsPerSecond / baseline[i]!.requestsPerSecond)),
  cpuRatio: spreadOf(samples.map((s, i) => baseline[i]!.cpuUs / s.cpuUs)),
});

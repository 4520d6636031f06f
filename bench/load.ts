import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Workload } from './workload.ts';

/** What the load generator saw. */
export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly statuses: Record<string, number>;
  readonly seconds: number;
  readonly p50_us: number;
  readonly p99_us: number;
  readonly first_byte_p50_us: number;
  readonly bytes: number;
  readonly sample?: string;
}

export interface LoadOptions {
  readonly core: number;
  readonly program: string;
  readonly url: string;
  readonly key: string;
  readonly bodyFile: string;
  readonly connections: number;
  readonly seconds: number;
  readonly requestsMax: number;
}

/** Runs the load generator once. Throws when any answer was not a whole 200: a figure of failures is worth nothing. */
export const runLoad = async (options: LoadOptions, workload: Workload): Promise<LoadResult> => {
  const { stdout } = await promisify(execFile)(
    'taskset',
    [
      ...['-c', String(options.core), options.program],
      ...['-address', new URL(options.url).host, '-key', options.key, '-body', options.bodyFile],
      ...['-conns', String(options.connections), '-seconds', String(options.seconds)],
      ...['-requests', String(options.requestsMax)],
    ],
    { timeout: options.seconds * 1000 + 30_000 },
  );
  const result = JSON.parse(stdout) as LoadResult;
  const good = result.statuses['200'] ?? 0;
  if (result.requests === 0 || good !== result.requests || result.errors > 0) {
    const statuses = JSON.stringify(result.statuses);
    throw new Error(`${workload.name} at ${options.url}: ${result.errors} errors, ${statuses} ${result.sample ?? ''}`);
  }
  return result;
};

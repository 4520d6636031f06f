import type { Results, WorkloadResult } from './results.ts';
import type { Spread } from './statistics.ts';

/** The Markdown tables of a run, one a workload. Each cell is a median with least–most over the rounds. */
export const tablesOf = (results: Results): string => results.workloads.map(tableOf).join('\n');

const tableOf = (workload: WorkloadResult): string => {
  const perChunk = workload.chunks > 0;
  const head = ['', 'requests/s', '× bare Koa', 'CPU µs/request', '× bare Koa by CPU', 'added p50, µs'];
  head.push('added to first byte, µs');
  if (perChunk) head.push('CPU µs/chunk');
  const rows = workload.targets.map((target) => {
    const cells = [
      target.name,
      cell(target.requestsPerSecond, 0),
      cell(target.ratio, 2),
      cell(target.cpuUs, 0),
      cell(target.cpuRatio, 2),
      cell(target.addedUs, 0),
      cell(target.addedFirstByteUs, 0),
    ];
    if (perChunk) cells.push((target.cpuUs.median / workload.chunks).toFixed(2));
    return `| ${cells.join(' | ')} |`;
  });
  const mock = cell(workload.mockRequestsPerSecond, 0);
  return [
    `### ${workload.name}: body of ${workload.bodyBytes} bytes, ${workload.connections} connections`,
    '',
    `| ${head.join(' | ')} |`,
    `|${' --- |'.repeat(head.length)}`,
    ...rows,
    '',
    `The mock asked directly, with the load generator on the same core: ${mock} requests/s.`,
    '',
  ].join('\n');
};

const cell = ({ median, least, most }: Spread, digits: number): string =>
  `${format(median, digits)} (${format(least, digits)}–${format(most, digits)})`;

const format = (value: number, digits: number): string =>
  digits === 0 ? Math.round(value).toLocaleString('en-US') : value.toFixed(digits);

import Table from 'cli-table3';
import type { ArmMetric, ExperimentReport, GuardReport } from '../experiments/experiment-report.ts';
import { formatDifference, formatValue } from '../experiments/format-values.ts';
import { formatCount } from '../store/money.ts';

/** What is compared and told of a metric, for the heads of the table. */
const TITLES: Readonly<Record<string, string>> = {
  cost: 'cost an answer',
  latency: 'time of an answer',
  errors: 'failed requests',
  refusals: 'refused answers',
  score: 'mean score',
  feedback: 'answers with a score',
};

/** An experiment for people: exposure, sample ratio, metrics, guards and the verdict last. */
export const experimentText = (report: ExperimentReport): string =>
  [
    `${report.id}: ${clean(report.title)}`,
    `${report.state}, by ${report.unit}, ${report.start} to ${report.end}`,
    '',
    exposureTable(report),
    sampleRatioLine(report),
    '',
    metricTable(report),
    'An interval holds however often one looks; that of one metric leaves out 0 by chance in one of twenty experiments.',
    ...(report.guards.length > 0 ? ['', guardTable(report.guards)] : []),
    '',
    report.verdict.text,
  ].join('\n');

/** All experiments, a line each. */
export const experimentList = (reports: readonly ExperimentReport[]): string => {
  if (reports.length === 0) return 'The policy has no experiments.';
  const table = tableOf(['experiment', 'state', 'unit', 'units', 'requests', 'verdict']);
  for (const { id, state, unit, exposure, verdict } of reports) {
    const units = exposure.reduce((sum, arm) => sum + arm.units, 0);
    const requests = exposure.reduce((sum, arm) => sum + arm.requests, 0);
    const what = verdict.arm === null ? verdict.kind : `${verdict.kind} (${verdict.arm})`;
    table.push([id, state, unit, formatCount(units), formatCount(requests), what]);
  }
  return table.toString();
};

const exposureTable = ({ exposure, unit }: ExperimentReport): string => {
  const table = tableOf(['arm', 'share %', `units (${unit})`, 'requests']);
  for (const { arm, share, units, requests } of exposure) {
    table.push([arm, String(share), formatCount(units), formatCount(requests)]);
  }
  return table.toString();
};

const sampleRatioLine = ({ sample_ratio: { p_value, is_mismatch } }: ExperimentReport): string =>
  `sample ratio: p = ${p_value < 0.001 ? p_value.toExponential(1) : p_value.toFixed(3)}${is_mismatch ? ', a mismatch' : ', as planned'}`;

const metricTable = ({ metrics, primary }: ExperimentReport): string => {
  const table = tableOf(['metric', 'arm', 'value', 'over', 'against control']);
  for (const { metric, arms } of metrics) {
    for (const arm of arms) {
      const name = metric === primary.metric ? `${TITLES[metric]} *` : TITLES[metric];
      const value = arm.value === null ? '-' : formatValue(metric, arm.value);
      const by = arm.against_control;
      table.push([name ?? metric, arm.arm, value, overOf(arm), by ? formatDifference(metric, by) : '-']);
    }
  }
  return `${table.toString()}\n* ${primary.better} is better; the verdict rests on it`;
};

const overOf = ({ count, units }: ArmMetric): string => `${formatCount(count)} of ${formatCount(units)} units`;

const guardTable = (guards: readonly GuardReport[]): string => {
  const table = tableOf(['guard', 'arm', 'allowed', 'worse by', '']);
  for (const { guard, arm, limit, worse_by, low, high, is_breached } of guards) {
    const figure = (value: number): string => figureOf(value, guard === 'max_score_decrease');
    const reading =
      worse_by === null || low === null || high === null
        ? is_breached
          ? 'control has none'
          : 'too little yet'
        : `${figure(worse_by)} [${figure(low)}, ${figure(high)}]`;
    table.push([guard, arm, figure(limit), reading, is_breached ? 'BREACHED' : 'ok']);
  }
  return table.toString();
};

const figureOf = (value: number, isScore: boolean): string =>
  isScore ? value.toFixed(3) : `${(value * 100).toFixed(2)} %`;

const tableOf = (head: string[]): InstanceType<typeof Table> =>
  new Table({ head, style: { head: [], border: [], compact: true } });

/** Control characters never reach a terminal. */
const clean = (text: string): string => text.replace(/\p{Cc}/gu, '\ufffd');

import Table from 'cli-table3';
import type { GuardView, ReplicaView, RolloutProgress } from '../admin/rollout-view.ts';
import type { NamedBundle } from './rollout-desired.ts';
import type { RolloutStatus } from './rollout-status.ts';
import { wrap } from './wrap.ts';

const COLUMNS = 100;
const LABEL = 11;

/** A rollout's status for people, within 100 columns. */
export const statusText = (status: RolloutStatus): string =>
  [
    sourceText(status),
    ...progressText(status),
    ...guardsText(status),
    ...measuredText(status),
    replicasText(status),
  ].join('\n\n');

/** A label, and its text broken under itself. */
const labelled = (label: string, text: string): string =>
  wrap(text, COLUMNS - LABEL)
    .map((line, at) => `${(at === 0 ? label : '').padEnd(LABEL)}${line}`)
    .join('\n');

const sourceText = ({ source, desired }: RolloutStatus): string => {
  if (source.problem !== null) return labelled('desired', `${source.place}: ${source.problem}`);
  return [
    labelled('desired', `${source.place}${desired?.candidate === undefined ? ': no candidate' : ''}`),
    ...(source.stable ? [bundleText('stable', source.stable)] : []),
    ...(source.candidate ? [bundleText('candidate', source.candidate)] : []),
  ].join('\n');
};

const bundleText = (label: string, { file, revision, sequence, problem }: NamedBundle): string => {
  const what = revision === null ? file : `${file}, revision ${revision}, sequence ${sequence}`;
  return labelled(label, problem === null ? what : `${what} – PROBLEM: ${problem}`);
};

const progressText = ({ rollout, desired }: RolloutStatus): string[] => {
  if (!rollout) return [];
  if (rollout.rolled_back) return [rolledBackText(rollout, desired?.candidate ?? 'FILE')];
  if (rollout.stage === 'waiting') return [labelled('stage', 'no gateway has begun it')];
  const { stage, percent, by, step, steps, held_s, next } = rollout;
  const share = stage === 'canary' ? ` ${percent} % by ${by}` : '';
  const now = `${stage}${share}, step ${step + 1} of ${steps.length}, for ${timeOf(held_s ?? 0)}`;
  const lines = [labelled('stage', now)];
  if (next) {
    const what = next.stage === 'canary' ? `canary ${next.percent} %` : next.stage;
    const waits = next.waits_for === null ? '' : `; waits for ${next.waits_for}`;
    lines.push(labelled('next', `${what}, not before ${clockOf(next.not_before)}${waits}`));
  } else
    lines.push(
      labelled(
        'next',
        `a person's to say: ./aegis rollout ${stage === 'full' ? 'promote' : 'canary, full or promote'}`,
      ),
    );
  return [lines.join('\n')];
};

const rolledBackText = ({ rolled_back: back }: RolloutProgress, candidate: string): string => {
  if (!back) return '';
  const { time, guard, reason, decision_ids: ids, replica } = back;
  return [
    labelled('stage', `ROLLED BACK at ${clockOf(time)} by ${guard}, found by ${replica}`),
    labelled('why', reason),
    ...(ids.length === 0 ? [] : [labelled('see', `./aegis explain ${ids[0]}`)]),
    ...ids.slice(1).map((id) => `${' '.repeat(LABEL)}./aegis explain ${id}`),
    labelled(
      'then',
      `./aegis rollout rollback takes it out of the file; ./aegis rollout shadow ${candidate} --retry tries the same again`,
    ),
  ].join('\n');
};

const VERDICTS: Readonly<Record<GuardView['verdict'], string>> = {
  off: 'off',
  waiting: 'too few',
  not_judged: 'not judged',
  within: 'ok',
  above: 'above, unsure',
  breached: 'BREACHED',
};

const guardsText = ({ guards }: RolloutStatus): string[] => {
  if (guards.length === 0) return [];
  const table = new Table({
    head: ['guard', 'reading', 'bound', 'samples', 'verdict'],
    colAligns: ['left', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const { guard, value, max, samples, verdict } of guards) {
    table.push([
      guard,
      measureOf(guard, value),
      max === null ? 'off' : measureOf(guard, max),
      samples,
      VERDICTS[verdict],
    ]);
  }
  const whys = guards
    .filter(({ verdict }) => verdict === 'above' || verdict === 'breached' || verdict === 'not_judged')
    .map(({ guard, reason }) => wrap(`${guard}: ${reason}`, COLUMNS).join('\n'));
  return [[table.toString(), ...whys].join('\n')];
};

/** In the unit of the guard. */
const measureOf = (guard: string, value: number | null): string => {
  if (value === null) return '–';
  if (guard.endsWith('_ms')) return `${value.toFixed(2)} ms`;
  return guard.endsWith('_increase') ? `${(value * 100).toFixed(2)} %` : String(value);
};

const measuredText = ({ readings, rollout }: RolloutStatus): string[] => {
  if (!readings) return [];
  const { compared: both, stable, candidate } = readings;
  const arm = ({ requests, denied, answers, errors, fallbacks, cost_micro_usd }: typeof stable): string =>
    `${requests} requests, ${denied} denied, ${answers} answers (${errors} failed, ${fallbacks} by fallback), ${(cost_micro_usd / 1_000_000).toFixed(4)} USD`;
  const lines = [`the last ${timeOf(readings.window_s)}, on the gateways that are at this step`];
  const examples = Object.entries(both.examples).filter(([, ids]) => ids.length > 0);
  return [
    [
      labelled('measured', lines[0] ?? ''),
      labelled('stable', arm(stable)),
      ...(rollout?.stage === 'shadow' ? [] : [labelled('candidate', arm(candidate))]),
      labelled(
        'both asked',
        `${both.compared} requests (${both.skipped} left out to spare the processor): ${both.newly_denied} newly denied, ${both.newly_allowed} newly allowed, ${both.model_moved} to another model, ${both.otherwise} otherwise different, ${both.policy_errors} not decided`,
      ),
      ...examples.map(([kind, ids]) => labelled('', `${kind}: ${ids.join(' ')}`)),
    ].join('\n'),
  ];
};

const replicasText = ({ replicas }: RolloutStatus): string => {
  if (replicas.length === 0) return labelled('gateways', 'none has said anything in the last five minutes');
  const table = new Table({
    head: ['gateway', 'stable', 'candidate', 'stage', 'told', ''],
    style: { head: [], border: [], compact: true },
    colWidths: [34, 12, 12, 13, 9, 13],
  });
  for (const replica of replicas) {
    const { stable, candidate, stage, percent, age_s } = replica;
    const at = stage === 'canary' ? `canary ${percent} %` : (stage ?? '–');
    table.push([
      replica.replica,
      short(stable?.revision),
      short(candidate?.revision),
      at,
      timeOf(age_s),
      stateOf(replica),
    ]);
  }
  const problems = replicas.flatMap(({ replica, problem, is_fresh }) =>
    problem !== null && is_fresh ? [wrap(`${replica}: ${problem}`, COLUMNS).join('\n')] : [],
  );
  return [table.toString(), ...problems].join('\n');
};

const stateOf = ({ problem, is_fresh, is_converged }: ReplicaView): string => {
  if (!is_fresh) return 'silent';
  if (problem !== null) return 'PROBLEM';
  return is_converged === false ? 'on its way' : '';
};

const short = (revision: string | undefined): string => revision?.slice(0, 10) ?? '–';

const timeOf = (seconds: number): string => {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3_600)} h`;
};

const clockOf = (time: string): string => `${time.slice(0, 19).replace('T', ' ')} UTC`;

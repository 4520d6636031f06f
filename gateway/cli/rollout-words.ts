import { join } from 'node:path';
import { type PlannedStep, planOf } from '../policy/rollout-plan.ts';
import type { Rollout } from '../types.gen.ts';
import { here } from './rollout-bundles.ts';
import type { RolloutChange } from './rollout-change.ts';

const CONVERGE = 'gateways that follow it converge within bundles.poll_s (2 s unless their config says otherwise)';

/** What comes next once a candidate is brought to a stage. */
export const staged = ({ file, folder, after, isChanged }: RolloutChange): string[] => {
  const candidate = here(join(folder, after.candidate ?? ''));
  if (!isChanged) {
    return ['Where gateways took it back, ./aegis rollout status tells why, and --retry tries the same once more.'];
  }
  return [
    `Next: commit ${file} and ${candidate}; ${CONVERGE}.`,
    courseOf(after),
    'Follow it: ./aegis rollout status --watch',
  ];
};

/** What comes next once the candidate is stable. */
export const promoted = ({ file, folder, before, after }: RolloutChange): string[] => [
  `Next: commit ${file}; ${CONVERGE}.`,
  `${after.stable} then serves all requests. No gateway goes back behind its sequence any more; ${here(join(folder, before.stable))} may be removed.`,
];

/** What comes next once the candidate is taken out. */
export const takenBack = ({ file, before, after }: RolloutChange): string[] => [
  `Next: commit ${file}; ${CONVERGE}.`,
  `${after.stable} then serves all requests, as before ${before.candidate}.`,
];

/** Why there is no way further back than stable, and what to do. */
export const nothingToTakeBack = ({ after }: RolloutChange): string[] => [
  `There is no candidate: ${after.stable} is stable, and no gateway goes back behind its sequence. Going back further is a new bundle, with a higher sequence and the old content:`,
  '  git log --oneline -- policies                 # the commit to go back to\n' +
    '  git restore --source COMMIT -- policies\n' +
    '  ./aegis build                                 # the next sequence; it becomes stable\n' +
    '  git add -A policies bundles && git commit',
];

/** The course of a candidate, in a sentence or two. */
const courseOf = (rollout: Rollout): string => {
  const { steps, by } = planOf(rollout, '', '');
  const [first, ...rest] = steps;
  const now = `The candidate ${doesOf(first, by)}.`;
  const then = rest.map((step, at) => {
    const held = timeOf((at === 0 ? first : (rest[at - 1] as PlannedStep)).holdMs);
    return `${step.stage === 'canary' ? `canary ${step.percent} %` : step.stage} after ${held}`;
  });
  return then.length === 0
    ? `${now} It stays so until a person changes it.`
    : `${now} Then, where enough requests were seen and no guard is breached: ${then.join(', ')}. Becoming stable is a person's to say: ./aegis rollout promote.`;
};

const doesOf = ({ stage, percent }: PlannedStep, by: string): string => {
  if (stage === 'shadow') return 'decides beside stable, without effect';
  if (stage === 'full') return 'decides all requests, with stable held ready';
  return `decides ${percent} % of the requests, by ${by}`;
};

const timeOf = (ms: number): string => {
  const seconds = ms / 1000;
  if (seconds >= 3_600 && seconds % 3_600 === 0) return `${seconds / 3_600} h`;
  return seconds >= 60 && seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
};

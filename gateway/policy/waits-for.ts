import type { GuardReading } from './guards.ts';
import type { PlannedStep, RolloutPlan } from './rollout-plan.ts';
import type { Readings } from './rollout-state.ts';

/**
 * What keeps the next step of a rollout from coming, but for its time, in words; null when nothing does. Gateways go by it,
 * and who shows a rollout shows it.
 */
export const waitsFor = (
  { guards: { minRequests } }: Pick<RolloutPlan, 'guards'>,
  { stage }: Pick<PlannedStep, 'stage'>,
  { compared, candidate }: Readings,
  judged: readonly GuardReading[],
): string | null => {
  const samples = stage === 'shadow' ? compared.compared : candidate.requests;
  if (samples < minRequests) return `${samples} of ${minRequests} requests`;
  // What is above its maximum, if not surely, is no reason to go on.
  const above = judged.filter(({ verdict }) => verdict === 'above' || verdict === 'breached');
  return above.length === 0 ? null : above.map(({ guard }) => guard).join(', ');
};

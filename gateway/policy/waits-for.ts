import type { GuardReading } from './guards.ts';
import type { PlannedStep, RolloutPlan } from './rollout-plan.ts';
import type { Readings } from './rollout-state.ts';

/**
 * What keeps the next step of a rollout from coming, but for its time, in words; null when nothing does. Gateways go by it,
 * and who shows a rollout shows it.
 */
export const waitsFor = (
  { guards: { minRequests }, compareCpuShare }: Pick<RolloutPlan, 'guards' | 'compareCpuShare'>,
  { stage }: Pick<PlannedStep, 'stage'>,
  { compared, candidate }: Readings,
  judged: readonly GuardReading[],
): string | null => {
  const samples = stage === 'shadow' ? compared.compared : candidate.requests;
  if (samples < minRequests) return `${samples} of ${minRequests} requests`;
  // Where most is skipped, the candidate may have enough requests and nobody has seen what it refuses.
  const denials = judged.find(({ guard }) => guard === 'max_deny_rate_increase');
  if (compareCpuShare > 0 && denials?.verdict === 'waiting') {
    return `${compared.compared} of ${minRequests} requests that both bundles decided`;
  }
  // What is above its maximum, if not surely, is no reason to go on.
  const above = judged.filter(({ verdict }) => verdict === 'above' || verdict === 'breached');
  return above.length === 0 ? null : above.map(({ guard }) => guard).join(', ');
};

import { isDeepStrictEqual } from 'node:util';
import type { Decision } from '../types.gen.ts';

/** How a candidate's decision differs from the stable one on the same input; the first of these that applies. */
export type Difference = 'same' | 'newly_denied' | 'newly_allowed' | 'model_moved' | 'otherwise';

/**
 * Compares what two bundles decided on one input. A model has moved when another model or upstream would be asked first;
 * otherwise are all other obligations: redaction, tier, limits, budgets, parameters, tools, audit, experiment, fallbacks and
 * the code of a denial. Words for people (reason, messages, hints) and the rules that fired do not count. The order of a
 * list counts where it has a meaning: that of the models.
 */
export const differenceOf = (stable: Decision, candidate: Decision): Difference => {
  if (stable.allow !== candidate.allow) return stable.allow ? 'newly_denied' : 'newly_allowed';
  if (!stable.allow) return stable.deny[0]?.code === candidate.deny[0]?.code ? 'same' : 'otherwise';
  const [one, other] = [stable.route.candidates[0], candidate.route.candidates[0]];
  if (one?.model !== other?.model || one?.upstream !== other?.upstream) return 'model_moved';
  return isDeepStrictEqual(obligationsOf(stable), obligationsOf(candidate)) ? 'same' : 'otherwise';
};

const obligationsOf = (decision: Decision): unknown => [
  decision.route.candidates,
  decision.route.experiment,
  decision.parameters,
  unordered(decision.tools.remove),
  unordered(decision.redact.map((entry) => ({ ...entry, restore: unordered(entry.restore) }))),
  decision.rate.tier,
  unordered(decision.rate.limits),
  unordered(decision.budgets),
  decision.audit,
  decision.acting_for ?? null,
];

/** Sets of a policy come in the order of their hashes. */
const unordered = (list: readonly unknown[]): string[] => list.map(keyed).sort();

const keyed = (value: unknown): string =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : JSON.stringify(value);

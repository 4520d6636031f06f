import { readSchema, type Validator, validator } from '../schema.ts';
import type { ReplayReport } from './report.ts';

/** What a replay may find at most: a number, or a share of all decisions such as `0.1%`. Of the cost, a share alone. */
export type GuardLimits = Partial<Record<GuardName, number | string>>;

interface Guard {
  /** What is measured, for people. */
  readonly what: string;
  /** `share`: of the decisions. `cost`: of the cost before of what both allow. `least`: a number that must be reached. */
  readonly kind: 'share' | 'cost' | 'least';
  readonly valueOf: (report: ReplayReport) => number;
}

/** Every guard, by its name in policies/replay.yaml; on the command line with dashes. */
export const GUARDS = {
  min_decisions: { what: 'decisions replayed', kind: 'least', valueOf: (report) => report.decisions.total },
  max_new_denials: { what: 'requests newly denied', kind: 'share', valueOf: (report) => facet(report, 'denied') },
  max_new_allowances: { what: 'requests newly allowed', kind: 'share', valueOf: (report) => facet(report, 'allowed') },
  max_policy_errors: {
    what: 'inputs the candidate cannot decide',
    kind: 'share',
    valueOf: (report) => report.decisions.failed.after,
  },
  max_model_moves: {
    what: 'requests with another first model',
    kind: 'share',
    valueOf: (report) => facet(report, 'model'),
  },
  max_redaction_losses: {
    what: 'requests with an entity no longer redacted',
    kind: 'share',
    valueOf: (report) => facet(report, 'redaction_lost'),
  },
  max_new_refusals: {
    what: 'requests newly refused by a limit or budget (simulated)',
    kind: 'share',
    valueOf: (report) => report.limits?.newly_refused ?? 0,
  },
  max_touched: { what: 'requests touched in any way', kind: 'share', valueOf: (report) => report.decisions.touched },
  max_cost_increase: {
    what: 'increase of cost at the same tokens, of requests that both allow',
    kind: 'cost',
    valueOf: (report) => report.cost.after_micro_usd - costOfKept(report),
  },
  max_unproved: {
    what: 'recorded decisions that the serving bundle does not make again',
    kind: 'share',
    valueOf: (report) => report.decisions.unproved,
  },
} as const satisfies Record<string, Guard>;

/** What the requests cost that both sides allow: a candidate must not hide a higher price behind refusals. */
const costOfKept = ({ cost }: ReplayReport): number => cost.before_micro_usd - cost.newly_denied_micro_usd;

export type GuardName = keyof typeof GUARDS;

const facet = (report: ReplayReport, name: string): number => report.facets[name] ?? 0;

/** The guard's limit and what was found. */
export interface GuardReading {
  readonly guard: GuardName;
  readonly what: string;
  /** As it was written. */
  readonly limit: string;
  readonly found: string;
  readonly ok: boolean;
}

const isGuardLimits: Validator<GuardLimits> = validator<GuardLimits>(readSchema('replay'));

/** Reads guards, as of policies/replay.yaml. Throws an Error that names the first thing wrong. */
export const parseGuards = (value: unknown): GuardLimits => {
  if (isGuardLimits(value ?? {})) return (value ?? {}) as GuardLimits;
  const [error] = isGuardLimits.errors ?? [];
  const extra =
    error && 'additionalProperty' in error.params ? ` (${JSON.stringify(error.params.additionalProperty)})` : '';
  throw new Error(`guards: ${error?.instancePath || '/'} ${error?.message ?? 'is wrong'}${extra}`);
};

/** Holds a report against guards, in the order of GUARDS. */
export const readGuards = (limits: GuardLimits, report: ReplayReport): GuardReading[] =>
  (Object.entries(GUARDS) as [GuardName, Guard][]).flatMap(([name, guard]) => {
    const limit = limits[name];
    if (limit === undefined) return [];
    const { what, kind } = guard;
    const value = guard.valueOf(report);
    const whole = kind === 'cost' ? costOfKept(report) : report.decisions.total;
    const isShare = typeof limit === 'string';
    // A share of nothing: any cost where there was none is more than every share of it.
    const share = whole > 0 ? value / whole : value > 0 ? Number.POSITIVE_INFINITY : 0;
    const bound = isShare ? Number(limit.slice(0, -1)) / 100 : limit;
    const measured = isShare ? share : value;
    const ok = kind === 'least' ? measured >= bound : measured <= bound;
    const found = kind === 'cost' ? percent(share) : isShare ? `${value} (${percent(share)})` : String(value);
    return [{ guard: name, what, limit: String(limit), found, ok }];
  });

const percent = (share: number): string =>
  Number.isFinite(share)
    ? `${Number((share * 100).toFixed(share !== 0 && Math.abs(share) < 0.001 ? 4 : 2))}%`
    : 'from nothing';

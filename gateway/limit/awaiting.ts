import { assertAmount, HISTORY_RETRY_MS, HistoryAway, type SharedHistory, type SpendHistory } from './account.ts';
import { type Calendar, createCalendar } from './calendar.ts';
import type { Demand, Limiter, Permit, Refusal } from './limiter.ts';

/** Above this many budgets, those whose period is over are forgotten. */
const SWEEP_AT = 10_000;

type SpendDemand = Extract<Demand, { kind: 'spend' }>;

interface Known {
  readonly spent: number;
  readonly endMs: number;
}

/**
 * A limiter of one process whose history answers later: a budget that is seen for the first time waits for what was
 * spent of it before, every other take is as quick as without. While the history is away such a budget is closed.
 * `make` gets the history that answers at once.
 */
export const createAwaitingLimiter = (make: (history: SpendHistory) => Limiter, history: SharedHistory): Limiter => {
  const calendar = createCalendar();
  const openedMs = Date.now();
  const known = new Map<string, Known>();
  const limiter = make((scope, subject, fromMs, toMs) => {
    const found = known.get(nameOf(scope, subject, fromMs, toMs));
    if (found === undefined) throw new HistoryAway(new Error(`${scope} ${subject} was not asked`));
    return found.spent;
  });

  const missingOf = (demands: readonly Demand[], now: number): SpendDemand[] =>
    demands.filter(
      (demand): demand is SpendDemand => demand.kind === 'spend' && !known.has(budgetName(demand, calendar, now)),
    );

  const learn = async (demand: SpendDemand, now: number): Promise<void> => {
    const { scope, subject, period, timezone } = demand;
    const { startMs, endMs } = calendar(period, timezone, now);
    // Of a period that began since, this limiter has counted all.
    const spent = startMs > openedMs ? 0 : await history(scope, subject, startMs, endMs);
    assertAmount(spent, 'history');
    const name = nameOf(scope, subject, startMs, endMs);
    // The first answer counts: a later one has in it what the limiter counted since.
    if (!known.has(name)) known.set(name, { spent, endMs });
  };

  const later = async (
    id: string,
    org: string,
    demands: readonly Demand[],
    now: number,
    missing: readonly SpendDemand[],
  ): Promise<Permit | Refusal> => {
    try {
      await Promise.all(missing.map((demand) => learn(demand, now)));
    } catch (error) {
      if (!(error instanceof HistoryAway)) throw error;
      return { granted: false, demand: missing[0]!, retryAfterMs: HISTORY_RETRY_MS, states: [] };
    }
    if (known.size > SWEEP_AT) for (const [name, { endMs }] of known) if (endMs < now) known.delete(name);
    return limiter.take(id, org, demands, now);
  };

  return {
    ...limiter,
    take(id, org, demands, now) {
      const missing = missingOf(demands, now);
      return missing.length === 0 ? limiter.take(id, org, demands, now) : later(id, org, demands, now, missing);
    },
  };
};

const budgetName = ({ scope, subject, period, timezone }: SpendDemand, calendar: Calendar, now: number): string => {
  const { startMs, endMs } = calendar(period, timezone, now);
  return nameOf(scope, subject, startMs, endMs);
};

const nameOf = (scope: string, subject: string, fromMs: number, toMs: number): string =>
  `${fromMs} ${toMs} ${scope} ${subject}`;

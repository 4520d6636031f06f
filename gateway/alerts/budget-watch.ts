import type { Decision, Input } from '../types.gen.ts';
import { type Alert, createAlert } from './alerts.ts';

type Budget = Input['spend'][number];
type Subject = Pick<Budget, 'scope' | 'subject'>;

/** What a watch needs to know. */
export interface BudgetWatchOptions {
  /** Shares of a cap, above 0. */
  readonly thresholds: readonly number[];
  /** What the limiter knows of budgets, at no call. */
  readonly spend: (subjects: readonly Subject[], now: number) => Input['spend'];
}

/** Sees which budgets have passed a threshold. A look is followed by `known` or `again`. */
export interface BudgetWatch {
  /** Notes budgets for the next look. `refusedMicroUsd` is what a refused request might have cost, else 0. */
  charged(org: string, budgets: Decision['budgets'], refusedMicroUsd: number): void;
  /** The thresholds that budgets have passed since the last look, but those that are known. */
  look(now: number): Alert[];
  /** What the look gave is in the store: it is not given again. */
  known(alerts: readonly Alert[]): void;
  /** It is not: the same budgets are looked at again. */
  again(): void;
}

interface Charged extends Subject {
  readonly org: string;
  refusedMicroUsd: number;
}

/** More than the budgets of a large installation; beyond, the store is asked once more about each. */
const MAX_KNOWN = 100_000;

/** A watch of budgets, in every period that the limiter counts for them. */
export const createBudgetWatch = ({ thresholds, spend }: BudgetWatchOptions): BudgetWatch => {
  let charged = new Map<string, Charged>();
  let looked = new Map<string, Charged>();
  const known = new Set<string>();

  const alertOf = (org: string, budget: Budget, threshold: number, now: number): Alert | null => {
    const { scope, subject, period, micro_usd: spent, cap_micro_usd: cap } = budget;
    const dedupe = JSON.stringify(['budget_threshold', scope, subject, period, threshold]);
    if (known.has(dedupe)) return null;
    const members = { org, scope, subject, period, threshold, spent_micro_usd: spent, cap_micro_usd: cap };
    return createAlert('budget_threshold', dedupe, members, now);
  };

  return {
    charged(org, budgets, refusedMicroUsd) {
      for (const { scope, subject } of budgets) {
        const key = `${scope} ${subject}`;
        const before = charged.get(key);
        if (before === undefined) charged.set(key, { org, scope, subject, refusedMicroUsd });
        else if (refusedMicroUsd > before.refusedMicroUsd) before.refusedMicroUsd = refusedMicroUsd;
      }
    },
    look(now) {
      looked = charged;
      charged = new Map();
      const alerts: Alert[] = [];
      for (const { org, scope, subject, refusedMicroUsd } of looked.values()) {
        for (const budget of spend([{ scope, subject }], now)) {
          for (const threshold of passedBy(budget, refusedMicroUsd, thresholds)) {
            const alert = alertOf(org, budget, threshold, now);
            if (alert) alerts.push(alert);
          }
        }
      }
      return alerts;
    },
    known(alerts) {
      if (known.size > MAX_KNOWN) known.clear();
      for (const { dedupe } of alerts) known.add(dedupe);
      looked = new Map();
    },
    again() {
      for (const [key, was] of looked) if (!charged.has(key)) charged.set(key, was);
      looked = new Map();
    },
  };
};

/**
 * The thresholds that a budget has passed. Spend hardly ever reaches a cap that holds, so the whole of it (1) counts as
 * passed too once it has refused a request and all that is below 1 has been passed.
 */
const passedBy = (budget: Budget, refusedMicroUsd: number, thresholds: readonly number[]): readonly number[] => {
  const { micro_usd: spent, reserved_micro_usd: reserved, cap_micro_usd: cap } = budget;
  if (cap === 0) return [];
  const hasRefused = refusedMicroUsd > cap - spent - reserved && refusedMicroUsd > 0;
  const isUsedUp = hasRefused && thresholds.every((threshold) => threshold >= 1 || spent >= cap * threshold);
  return thresholds.filter((threshold) => spent >= cap * threshold || (isUsedUp && threshold === 1));
};

import type { UsageGroup } from '../store/usage.ts';
import { canonicalModel, type Measure, type ProviderUsage } from './provider-usage.ts';

/** What does not agree, of one model on one day. */
export interface Difference {
  readonly day: string;
  readonly model: string;
  readonly kind: 'missing in the ledger' | 'missing at the provider' | 'differs';
  readonly measure: Measure;
  readonly provider: number;
  readonly ledger: number;
  /** How far apart, as a share of the larger. */
  readonly share: number;
}

/** Both books side by side. */
export interface Reconciliation {
  /** Beyond the tolerance, by day, then model, then measure. */
  readonly differences: readonly Difference[];
  /** How many pairs of day and model were compared. */
  readonly compared: number;
  /** Totals of each measure. */
  readonly totals: readonly { readonly measure: Measure; readonly provider: number; readonly ledger: number }[];
}

/** A row of the ledger: keys are the day and the model. */
export type LedgerDay = UsageGroup;

/**
 * Compares a provider's export with the ledger's groups by day and model of its upstream. An export that tells no models
 * is compared by day alone. `tolerance` is a share: 0.01 lets figures differ by a hundredth.
 */
export const reconcile = (
  { measures, days }: ProviderUsage,
  ledger: readonly LedgerDay[],
  tolerance: number,
): Reconciliation => {
  const hasModels = days.some(({ model }) => model !== '');
  const books = new Map<string, Pair>();
  const pairOf = (day: string, model: string): Pair => {
    const key = JSON.stringify([day, hasModels ? model : '']);
    const pair = books.get(key) ?? { day, model: hasModels ? model : '', provider: undefined, ledger: undefined };
    books.set(key, pair);
    return pair;
  };
  const isEmpty = (figures: readonly number[]): boolean => figures.every((figure) => figure === 0);
  for (const { day, model, figures } of days) {
    if (isEmpty(figures)) continue;
    const pair = pairOf(day, model);
    pair.provider = figures.map((figure, i) => figure + (pair.provider?.[i] ?? 0));
  }
  for (const group of ledger) {
    const figures = measures.map((measure) => measure.of(group));
    // Denials and failures that reached no model are nothing that a provider would know of.
    if (isEmpty(figures)) continue;
    const pair = pairOf(group.keys[0]!, canonicalModel(group.keys[1]!));
    pair.ledger = figures.map((figure, i) => figure + (pair.ledger?.[i] ?? 0));
  }
  const pairs = [...books.values()].sort((a, b) => order(a.day, b.day) || order(a.model, b.model));
  return {
    differences: pairs.flatMap((pair) => differencesOf(pair, measures, tolerance)),
    compared: pairs.length,
    totals: measures.map((measure, i) => ({
      measure,
      provider: pairs.reduce((sum, { provider }) => sum + (provider?.[i] ?? 0), 0),
      ledger: pairs.reduce((sum, pair) => sum + (pair.ledger?.[i] ?? 0), 0),
    })),
  };
};

interface Pair {
  readonly day: string;
  readonly model: string;
  provider: number[] | undefined;
  ledger: number[] | undefined;
}

const differencesOf = (
  { day, model, provider, ledger }: Pair,
  measures: readonly Measure[],
  tolerance: number,
): Difference[] =>
  measures.flatMap((measure, i) => {
    const [theirs, ours] = [provider?.[i] ?? 0, ledger?.[i] ?? 0];
    const larger = Math.max(theirs, ours);
    const share = larger === 0 ? 0 : Math.abs(theirs - ours) / larger;
    if (share <= tolerance) return [];
    const kind = !ledger ? 'missing in the ledger' : !provider ? 'missing at the provider' : 'differs';
    return [{ day, model, kind, measure, provider: theirs, ledger: ours, share }];
  });

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

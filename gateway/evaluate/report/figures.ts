import type { EvalInterval, EvalModel } from '../../types.gen.ts';

/** A share of 1 with three decimals; a dash without one. */
export const scoreText = (score: number | null): string => (score === null ? '–' : score.toFixed(3));

/** The interval of a quality, such as `0.712–0.803`. */
export const intervalText = (interval: EvalInterval | null | undefined): string =>
  interval ? `${interval.low.toFixed(3)}–${interval.high.toFixed(3)}` : '–';

/** US dollars with as many digits as tell something: 12.30, 0.0042, 0. */
export const usdText = (usd: number | null): string => {
  if (usd === null) return '–';
  if (usd === 0) return '0';
  return usd >= 1 ? usd.toFixed(2) : usd < 1e-6 ? usd.toExponential(1) : String(Number(usd.toPrecision(3)));
};

/** Milliseconds, whole. */
export const msText = (ms: number | null): string => (ms === null ? '–' : String(Math.round(ms)));

/** A p-value: never 0. */
export const pText = (p: number): string => (p < 0.001 ? '< 0.001' : p.toFixed(3));

/** A difference with its sign. */
export const signedText = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`;

/** Calls of a model that failed. */
export const failedOf = ({ failures }: EvalModel): number =>
  Object.values(failures).reduce((sum, count) => sum + count, 0);

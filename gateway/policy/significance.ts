/**
 * How sure a reading must be, in standard errors, one-sided: one chance in 740. Stricter than the usual 1.645, because a
 * guard looks every second, and what is met once in 20 looks would be met within a minute.
 */
export const SURE = 3;

/** How often something happened among how many. */
export interface Rate {
  readonly count: number;
  readonly of: number;
}

/**
 * The Wilson score interval of a rate: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
 * JASA 22 (1927) 209–212. It holds for rates near 0 and for few samples; of none it is all from 0 to 1.
 */
export const wilson = ({ count, of }: Rate, z = SURE): { readonly lower: number; readonly upper: number } => {
  if (of <= 0) return { lower: 0, upper: 1 };
  const p = count / of;
  const spread = z * Math.sqrt((p * (1 - p)) / of + (z * z) / (4 * of * of));
  const centre = p + (z * z) / (2 * of);
  const scale = 1 + (z * z) / of;
  return { lower: Math.max(0, (centre - spread) / scale), upper: Math.min(1, (centre + spread) / scale) };
};

/**
 * The lower bound of how much the rate `a` is above the rate `b`, of independent samples: method 10 of R. G. Newcombe,
 * Interval estimation for the difference between independent proportions, Statistics in Medicine 17 (1998) 873–890.
 */
export const rateIncreaseLower = (a: Rate, b: Rate, z = SURE): number => {
  const [pa, pb] = [a.of > 0 ? a.count / a.of : 0, b.of > 0 ? b.count / b.of : 0];
  return pa - pb - Math.hypot(pa - wilson(a, z).lower, wilson(b, z).upper - pb);
};

/**
 * Whether `more` outcomes one way against `less` the other way, of the same requests asked twice, are more than chance: the
 * test of Q. McNemar, Psychometrika 12 (1947) 153–157, with the continuity correction of A. L. Edwards, Psychometrika 13
 * (1948) 185–187, one-sided.
 */
export const isPairedIncrease = (more: number, less: number, z = SURE): boolean =>
  more > less && more - less - 1 > z * Math.sqrt(more + less);

/** Sums over pairs (x, y) of positive amounts. */
export interface PairSums {
  readonly n: number;
  readonly x: number;
  readonly y: number;
  readonly xx: number;
  readonly yy: number;
  readonly xy: number;
}

/**
 * Whether the sum of y is more than `ratio` times the sum of x, and more than chance: by the mean of y − ratio × x and its
 * standard error, as E. C. Fieller does for a ratio of means (J. R. Stat. Soc. B 16 (1954) 175–185).
 */
export const isRatioAbove = ({ n, x, y, xx, yy, xy }: PairSums, ratio: number, z = SURE): boolean => {
  if (n < 2) return false;
  const mean = (y - ratio * x) / n;
  if (mean <= 0) return false;
  // Sums of squares lose their last digits: a variance is never below 0.
  const variance = Math.max(0, (yy - 2 * ratio * xy + ratio * ratio * xx) / n - mean * mean) * (n / (n - 1));
  return mean > z * Math.sqrt(variance / n);
};

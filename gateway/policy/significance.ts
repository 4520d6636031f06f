/**
 * How sure a reading must be, in standard errors, one-sided: one chance in 30,000 of a single look. The usual 1.645 is for
 * one look: a guard looks every second, and within a day even 3 is met by chance, where a few hundred requests are counted.
 */
export const SURE = 4;

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
 * Whether of `of` requests asked twice the share of the `more` one way is above that of the `less` the other way by more than
 * `max`, and not by chance: the score test of T. Tango, Equivalence test and confidence interval for the difference in
 * proportions for the paired-sample design, Statistics in Medicine 17 (1998) 891–908, one-sided, with the continuity correction
 * of A. L. Edwards, Psychometrika 13 (1948) 185–187. For a maximum of 0 it is that of Q. McNemar, Psychometrika 12 (1947).
 */
export const isPairedIncreaseAbove = (more: number, less: number, of: number, max: number, z = SURE): boolean => {
  if (of <= 0) return false;
  // The most likely share of the `less` if the increase were exactly `max`: a root of 2·of·q² + linear·q − constant.
  const linear = (2 * of - more + less) * max - more - less;
  const constant = less * max * (1 - max);
  const q = (Math.sqrt(linear * linear + 8 * of * constant) - linear) / (4 * of);
  return more - less - of * max - 1 > z * Math.sqrt(of * (2 * q + max * (1 - max)));
};

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

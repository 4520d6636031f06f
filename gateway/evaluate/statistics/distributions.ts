/** Terms and steps after which a series or fraction is as exact as a double. */
const MOST_TERMS = 500;
const PRECISION = 1e-15;
/** Stands for 0 where a continued fraction would divide by it. */
const TINY = 1e-300;

/** Coefficients for g = 7, n = 9. Source: Godfrey's table for Lanczos' approximation; relative error below 1e-13. */
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** The natural logarithm of the gamma function, for x > 0. */
export const logGamma = (x: number): number => {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const base = x - 1;
  let sum = LANCZOS[0] as number;
  for (let at = 1; at < LANCZOS.length; at++) sum += (LANCZOS[at] as number) / (base + at);
  const edge = base + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (base + 0.5) * Math.log(edge) - edge + Math.log(sum);
};

/** Q(a, x), the regularised upper incomplete gamma function. Source: DLMF 8.7.1 (series) and 8.9.2 (continued fraction). */
const upperGamma = (a: number, x: number): number => {
  if (x <= 0) return 1;
  const scale = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; n < MOST_TERMS && term > sum * PRECISION; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return 1 - sum * scale;
  }
  // Lentz's way of evaluating it.
  let b = x + 1 - a;
  let c = 1 / TINY;
  let d = 1 / b;
  let fraction = d;
  for (let n = 1; n < MOST_TERMS; n++) {
    const an = -n * (n - a);
    b += 2;
    d = 1 / (an * d + b || TINY);
    c = b + an / c || TINY;
    fraction *= d * c;
    if (Math.abs(d * c - 1) < PRECISION) break;
  }
  return scale * fraction;
};

/** Probability that a chi-square variable of `degrees` degrees of freedom exceeds `x`. */
export const chiSquareTail = (x: number, degrees: number): number => upperGamma(degrees / 2, x / 2);

/** Probability that a standard normal variable is below `x`. */
export const normalCdf = (x: number): number => {
  const tail = upperGamma(0.5, (x * x) / 2) / 2;
  return x > 0 ? 1 - tail : tail;
};

/** Below this, and above 1 minus this, Acklam's approximation has other coefficients. */
const LOW = 0.02425;

/**
 * The value below which a standard normal variable is with probability `p`, 0 < p < 1. Source: P. J. Acklam's rational
 * approximation (2003), refined by one step of Halley's method on the exact distribution.
 */
export const normalQuantile = (p: number): number => {
  if (!(p > 0 && p < 1)) throw new RangeError('a probability between 0 and 1 is wanted');
  const start = p < LOW ? tailQuantile(p) : p > 1 - LOW ? -tailQuantile(1 - p) : centralQuantile(p - 0.5);
  const error = (normalCdf(start) - p) * Math.sqrt(2 * Math.PI) * Math.exp((start * start) / 2);
  return start - error / (1 + (start * error) / 2);
};

const polynomial = (coefficients: readonly number[], x: number): number =>
  coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);

const centralQuantile = (q: number): number => {
  const r = q * q;
  const above = polynomial(
    [
      -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
      2.506628277459239,
    ],
    r,
  );
  const below = polynomial(
    [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1],
    r,
  );
  return (q * above) / below;
};

const tailQuantile = (p: number): number => {
  const q = Math.sqrt(-2 * Math.log(p));
  const above = polynomial(
    [
      -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
      2.938163982698783,
    ],
    q,
  );
  return above / polynomial([0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1], q);
};

/** What an arm's units came to: `sum` and `count` of what is measured, such as dollars and answers. */
export interface Unit {
  readonly sum: number;
  readonly count: number;
}

/** A ratio over units, such as dollars an answer, with the variance of the estimate. */
export interface RatioEstimate {
  readonly units: number;
  readonly count: number;
  readonly estimate: number;
  readonly variance: number;
}

/**
 * The mean over all that the units hold, with its variance by the delta method: units are independent of each other, what
 * one unit did is not, and so requests of one user do not count as if they were users. Undefined for fewer than two units
 * or nothing counted. Source: Deng, Knoblich and Lu, Applying the Delta Method in Metric Analytics (KDD 2018).
 */
export const ratioOf = (units: readonly Unit[]): RatioEstimate | undefined => {
  const n = units.length;
  let sum = 0;
  let count = 0;
  for (const unit of units) {
    sum += unit.sum;
    count += unit.count;
  }
  if (n < 2 || count === 0) return undefined;
  const estimate = sum / count;
  let squares = 0;
  for (const unit of units) squares += (unit.sum - estimate * unit.count) ** 2;
  return { units: n, count, estimate, variance: ((squares / (n - 1)) * n) / (count * count) };
};

/** A difference whose interval holds at every look at once, however often one looks. */
export interface SequentialComparison {
  /** Treatment less control. */
  readonly difference: number;
  readonly low: number;
  readonly high: number;
  /** Always valid: below `alpha` the difference may be acted on at once. */
  readonly pValue: number;
}

/** Fewer units in an arm are not compared: the estimates of variance are not yet to be relied on. */
export const LEAST_UNITS = 50;

/**
 * The effect for which the test is quickest, in standard deviations of one unit: the spread of the normal mixture. A tenth
 * is what most changes of a model come to.
 */
const MIXTURE = 0.1;

/**
 * Compares two arms by a mixture sequential probability ratio test. One may look after every request and stop when the
 * interval leaves 0: the chance of ever doing so without a difference is at most `alpha`. Undefined while an arm has fewer
 * than LEAST_UNITS units or nothing varies. Source: Johari, Pekelis and Walsh, Always Valid Inference (Operations Research
 * 2022), with a normal mixture; the variances are estimated, so the bound holds asymptotically.
 */
export const compareSequentially = (
  control: RatioEstimate | undefined,
  treatment: RatioEstimate | undefined,
  alpha = 0.05,
): SequentialComparison | undefined => {
  if (!control || !treatment || Math.min(control.units, treatment.units) < LEAST_UNITS) return undefined;
  const [forControl, forTreatment] = cautiousVariances(control, treatment);
  const v = forControl / control.units + forTreatment / treatment.units;
  if (!(v > 0)) return undefined;
  const unitVariance = forControl + forTreatment;
  const mixture = MIXTURE ** 2 * unitVariance;
  const difference = treatment.estimate - control.estimate;
  const logRatio = 0.5 * Math.log(v / (v + mixture)) + (difference ** 2 * mixture) / (2 * v * (v + mixture));
  const half = Math.sqrt(
    ((2 * v * (v + mixture)) / mixture) * (Math.log(1 / alpha) + 0.5 * Math.log((v + mixture) / v)),
  );
  return { difference, low: difference - half, high: difference + half, pValue: Math.min(1, Math.exp(-logRatio)) };
};

/**
 * The variance of one unit in each arm, at least that of both together. A small arm that has not met its rare expensive
 * units, or its rare failures, yet looks both better and surer than it is: the large arm knows how rare things are.
 */
const cautiousVariances = (control: RatioEstimate, treatment: RatioEstimate): [number, number] => {
  const [a, b] = [control.variance * control.units, treatment.variance * treatment.units];
  const pooled = (a * control.units + b * treatment.units) / (control.units + treatment.units);
  return [Math.max(a, pooled), Math.max(b, pooled)];
};

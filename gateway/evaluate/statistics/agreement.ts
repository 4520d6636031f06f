/** How far two judges agree on the same marks. */
export interface Agreement {
  readonly marks: number;
  /** Share of equal marks. */
  readonly exact: number;
  /** Cohen's kappa with quadratic weights: 1 for equal, 0 for no better than chance; NaN when a judge gives one mark only. */
  readonly kappa: number;
  /** Spearman's rank correlation; NaN when a judge gives one mark only. */
  readonly correlation: number;
}

/** Compares pairs of marks. Undefined without a pair. Source: Cohen, Weighted kappa (1968); Spearman (1904). */
export const agreementOf = (pairs: readonly (readonly [number, number])[]): Agreement | undefined => {
  if (pairs.length === 0) return undefined;
  const left = pairs.map(([mark]) => mark);
  const right = pairs.map(([, mark]) => mark);
  return {
    marks: pairs.length,
    exact: pairs.filter(([one, other]) => one === other).length / pairs.length,
    kappa: weightedKappa(left, right),
    correlation: correlationOf(ranksOf(left), ranksOf(right)),
  };
};

/** 1 less the square distance there is, over the one that chance would give. */
const weightedKappa = (left: readonly number[], right: readonly number[]): number => {
  if (new Set(left).size < 2 || new Set(right).size < 2) return Number.NaN;
  const n = left.length;
  let seen = 0;
  let byChance = 0;
  for (let at = 0; at < n; at++) {
    seen += (left[at]! - right[at]!) ** 2 / n;
    for (let other = 0; other < n; other++) byChance += (left[at]! - right[other]!) ** 2 / (n * n);
  }
  return 1 - seen / byChance;
};

/** Ranks from 1; equal values share the mean of theirs. */
const ranksOf = (values: readonly number[]): number[] => {
  const order = values.map((_, at) => at).sort((left, right) => values[left]! - values[right]!);
  const ranks = new Array<number>(values.length);
  for (let at = 0; at < order.length; ) {
    let end = at;
    while (end < order.length && values[order[end]!] === values[order[at]!]) end++;
    const rank = (at + 1 + end) / 2;
    for (; at < end; at++) ranks[order[at]!] = rank;
  }
  return ranks;
};

const correlationOf = (left: readonly number[], right: readonly number[]): number => {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [middle, other] = [mean(left), mean(right)];
  let together = 0;
  let leftSquares = 0;
  let rightSquares = 0;
  for (let at = 0; at < left.length; at++) {
    const [x, y] = [left[at]! - middle, right[at]! - other];
    together += x * y;
    leftSquares += x * x;
    rightSquares += y * y;
  }
  return together / Math.sqrt(leftSquares * rightSquares);
};

/** One case to fit to: the features, whether it came true, and how much it counts. */
export interface LogisticCase {
  readonly features: readonly number[];
  readonly isTrue: boolean;
  readonly weight: number;
}

const MOST_STEPS = 50;
const CLOSE = 1e-9;

/**
 * The weights of a logistic regression, by Newton's method, drawn towards `prior` by a quadratic penalty of `strength` for
 * each: the maximum a posteriori under a normal prior. Where the cases say nothing of a feature its prior stays. The
 * features are taken as they are; give a constant one for the bias. Source: McCullagh and Nelder, Generalized Linear Models
 * (1989), 4.4.
 */
export const fitLogistic = (
  cases: readonly LogisticCase[],
  prior: readonly number[],
  strength: readonly number[],
): number[] => {
  let weights = [...prior];
  for (let step = 0; step < MOST_STEPS; step++) {
    const gradient = weights.map((weight, at) => -strength[at]! * (weight - prior[at]!));
    const hessian = weights.map((_, row) => weights.map((__, column) => (row === column ? strength[row]! : 0)));
    for (const { features, isTrue, weight } of cases) {
      const p = probabilityOf(features, weights);
      const residual = weight * (Number(isTrue) - p);
      const curvature = weight * p * (1 - p);
      for (let row = 0; row < features.length; row++) {
        gradient[row]! += residual * features[row]!;
        for (let column = 0; column <= row; column++) {
          hessian[row]![column]! += curvature * features[row]! * features[column]!;
        }
      }
    }
    for (let row = 0; row < weights.length; row++) {
      for (let column = row + 1; column < weights.length; column++) hessian[row]![column] = hessian[column]![row]!;
    }
    const move = solve(hessian, gradient);
    weights = weights.map((weight, at) => weight + move[at]!);
    if (Math.max(...move.map(Math.abs)) < CLOSE) break;
  }
  return weights;
};

/** The probability that weights give to features. */
export const probabilityOf = (features: readonly number[], weights: readonly number[]): number =>
  1 / (1 + Math.exp(-features.reduce((sum, feature, at) => sum + feature * weights[at]!, 0)));

/** Solves a system with a positive definite matrix, by elimination with pivots. */
const solve = (matrix: number[][], right: number[]): number[] => {
  const size = right.length;
  const rows = matrix.map((row, at) => [...row, right[at]!]);
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(rows[row]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = row;
    }
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let row = column + 1; row < size; row++) {
      const factor = rows[row]![column]! / rows[column]![column]!;
      for (let at = column; at <= size; at++) rows[row]![at]! -= factor * rows[column]![at]!;
    }
  }
  const solution = new Array<number>(size).fill(0);
  for (let row = size - 1; row >= 0; row--) {
    let rest = rows[row]![size]!;
    for (let at = row + 1; at < size; at++) rest -= rows[row]![at]! * solution[at]!;
    solution[row] = rest / rows[row]![row]!;
  }
  return solution;
};

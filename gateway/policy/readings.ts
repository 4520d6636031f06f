import type { ArmReadings, ComparedReadings, Readings } from './rollout-state.ts';

/** Buckets of the histogram of evaluations: the last has all above 1.3 s. */
const EVALUATION_BUCKETS = 69;
const FIRST_BOUND_MS = 0.01;
const BUCKETS_A_DOUBLING = 4;
/** Bounds of the lists that gateways share. */
const MAX_CALLERS = 8;
export const MAX_EXAMPLES = 3;

type Changing<T> = { -readonly [K in keyof T]: T[K] };

/** Readings that are being added up. */
export interface Tally {
  readonly stable: Changing<ArmReadings>;
  readonly candidate: Changing<ArmReadings>;
  readonly compared: Changing<Omit<ComparedReadings, 'policyErrorCallers' | 'examples'>> & {
    readonly policyErrorCallers: string[];
    readonly examples: Record<string, string[]>;
  };
  readonly evaluations: number[];
}

/** Nothing measured yet. */
export const newTally = (): Tally => ({
  stable: newArm(),
  candidate: newArm(),
  compared: {
    compared: 0,
    skipped: 0,
    newlyDenied: 0,
    newlyAllowed: 0,
    modelMoved: 0,
    otherwise: 0,
    policyErrors: 0,
    policyErrorCallers: [],
    costed: 0,
    stableCostMicroUsd: 0,
    candidateCostMicroUsd: 0,
    stableCostSquares: 0,
    candidateCostSquares: 0,
    costProducts: 0,
    examples: {},
  },
  evaluations: new Array<number>(EVALUATION_BUCKETS).fill(0),
});

const newArm = (): Changing<ArmReadings> => ({
  requests: 0,
  denied: 0,
  answers: 0,
  errors: 0,
  fallbacks: 0,
  costMicroUsd: 0,
});

/** Keeps a decision as an example of something, while there are few. */
export const addExample = (tally: Tally, kind: string, decisionId: string, most = MAX_EXAMPLES): void => {
  tally.compared.examples[kind] ??= [];
  addOnce(tally.compared.examples[kind], decisionId, most);
};

/** Keeps who could not be decided for. Whether it is a new one, and there are few. */
export const addPolicyErrorCaller = (tally: Tally, caller: string): boolean =>
  addOnce(tally.compared.policyErrorCallers, caller, MAX_CALLERS);

const addOnce = (list: string[], entry: string, most: number): boolean => {
  const isNew = list.length < most && !list.includes(entry);
  if (isNew) list.push(entry);
  return isNew;
};

/** Counts one evaluation of the candidate. */
export const addEvaluation = (tally: Tally, ms: number): void => {
  const doublings = ms > FIRST_BOUND_MS ? Math.log2(ms / FIRST_BOUND_MS) : 0;
  const bucket = Math.min(EVALUATION_BUCKETS - 1, Math.ceil(doublings * BUCKETS_A_DOUBLING));
  tally.evaluations[bucket] = (tally.evaluations[bucket] ?? 0) + 1;
};

/** What several windows, or several gateways, have measured together; of each list of examples so many are kept. */
export const sumReadings = (all: readonly Readings[], mostExamples = MAX_EXAMPLES): Readings => {
  const sum = newTally();
  for (const { stable, candidate, compared, evaluations } of all) {
    addNumbers(sum.stable, stable);
    addNumbers(sum.candidate, candidate);
    addNumbers(sum.compared, compared);
    for (const caller of compared.policyErrorCallers) addPolicyErrorCaller(sum, caller);
    for (const [kind, ids] of Object.entries(compared.examples)) {
      for (const id of ids) addExample(sum, kind, id, mostExamples);
    }
    for (const [bucket, count] of evaluations.entries()) {
      if (bucket < EVALUATION_BUCKETS) sum.evaluations[bucket] = (sum.evaluations[bucket] ?? 0) + count;
    }
  }
  return sum;
};

const addNumbers = (sum: object, more: object): void => {
  const into = sum as Record<string, unknown>;
  for (const [name, value] of Object.entries(more)) {
    if (typeof value === 'number' && typeof into[name] === 'number') into[name] += value;
  }
};

/** What evaluations took at most, milliseconds, but for the slowest share beyond `quantile`; null of none. */
export const evaluationQuantileMs = (evaluations: readonly number[], quantile: number): number | null => {
  const total = evaluationsIn(evaluations);
  if (total === 0) return null;
  let seen = 0;
  const bucket = evaluations.findIndex((count) => {
    seen += count;
    return seen >= total * quantile;
  });
  return boundMs(bucket);
};

/** How many evaluations there were. */
export const evaluationsIn = (evaluations: readonly number[]): number =>
  evaluations.reduce((sum, count) => sum + count, 0);

/** How many certainly took longer. */
export const evaluationsAbove = (evaluations: readonly number[], ms: number): number =>
  evaluations.reduce((sum, count, bucket) => (bucket > 0 && boundMs(bucket - 1) >= ms ? sum + count : sum), 0);

const boundMs = (bucket: number): number => FIRST_BOUND_MS * 2 ** (bucket / BUCKETS_A_DOUBLING);

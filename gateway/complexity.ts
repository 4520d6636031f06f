import type { Signals } from './signals.ts';

/**
 * Weights of a logistic score of how much a task asks for, from its signals alone. A first set, chosen by hand on
 * RouteLLM's tasks. It tells open-ended tasks from multiple choice (AUC 0.98, 80 against 2,000); it hardly tells which
 * multiple-choice questions a weak model fails and a strong one solves (AUC 0.59). Change it here only.
 */
const WEIGHTS = {
  bias: -1,
  multipleChoice: -2.5,
  yesNo: -1.5,
  code: 1.2,
  math: 0.5,
  /** A verb that asks for open-ended work; up to three count. */
  verb: 1.1,
  /** Further user messages; up to five count. */
  turn: 0.15,
  /** Each doubling of the words beyond 8. */
  length: 0.25,
};

/** Complexity from 0 to 1, three decimals: a policy compares it, an audit repeats it. */
export const complexityOf = (signals: Signals): number => {
  let score = WEIGHTS.bias;
  if (signals.multiple_choice) score += WEIGHTS.multipleChoice;
  if (signals.yes_no) score += WEIGHTS.yesNo;
  if (signals.code) score += WEIGHTS.code;
  if (signals.math) score += WEIGHTS.math;
  score += Math.min(signals.instruction_verbs, 3) * WEIGHTS.verb;
  score += Math.min(Math.max(0, signals.turns - 1), 5) * WEIGHTS.turn;
  score += Math.log2(Math.max(8, signals.words) / 8) * WEIGHTS.length;
  return Math.round(1000 / (1 + Math.exp(-score))) / 1000;
};

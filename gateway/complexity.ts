import type { Complexity, Input } from './types.gen.ts';

/** The parts of an input that complexity is made of. */
export interface Weighed {
  readonly request: Pick<Input['request'], 'tools'>;
  readonly content: Pick<Input['content'], 'signals' | 'languages'>;
}

/** Where a policy has no weights of its own. */
const DEFAULT: Complexity = {
  bias: -1,
  weights: {
    multiple_choice: -2.5,
    yes_no: -1.5,
    code: 1.2,
    math: 0.5,
    instruction_verb: 1.1,
    turn: 0.15,
    length: 0.25,
  },
};

type Weight = keyof Complexity['weights'];

const MOST_VERBS = 3;
const MOST = 5;

/** What each weight is multiplied with: 0 or 1 for what is there or not, else how much of it there is. */
export const termsOf = ({ request, content: { signals, languages } }: Weighed): Record<Weight, number> => ({
  multiple_choice: Number(signals.multiple_choice),
  yes_no: Number(signals.yes_no),
  code: Number(signals.code),
  math: Number(signals.math),
  negated: Number(signals.negated),
  instruction_verb: Math.min(signals.instruction_verbs, MOST_VERBS),
  question_mark: Math.min(signals.question_marks, MOST),
  turn: Math.min(Math.max(0, signals.turns - 1), MOST),
  number: Math.log2(1 + signals.numbers),
  long_words: signals.long_words / Math.max(1, signals.words),
  length: Math.log2(Math.max(8, signals.words) / 8),
  tool: Math.min(request.tools.length, MOST),
  other_script: Number(languages.length > 0 && languages[0] !== 'Latn'),
});

/**
 * How much a task asks for, 0 to 1 with three decimals: a policy compares it, an audit repeats it. A logistic score of the
 * signals under the weights of policies/complexity/data.yaml, so that a change of weights is a change of policy, and replay
 * shows what it moves. docs/complexity.md tells how the weights were found and what they are worth.
 */
export const complexityOf = (weighed: Weighed, complexity: Complexity | undefined): number => {
  const { bias, weights } = complexity ?? DEFAULT;
  const terms = termsOf(weighed);
  let score = bias;
  for (const name in weights) score += weights[name as Weight]! * terms[name as Weight];
  return Math.round(1000 / (1 + Math.exp(-score))) / 1000;
};

/**
 * An input as it would have been described to a policy with these weights: for one that is asked what another policy was
 * asked. What has no body has no complexity.
 */
export const weighedFor = (input: Input, complexity: Complexity | undefined): Input => {
  if (input.content.bytes === 0) return input;
  const score = complexityOf(input, complexity);
  return score === input.content.complexity ? input : { ...input, content: { ...input.content, complexity: score } };
};

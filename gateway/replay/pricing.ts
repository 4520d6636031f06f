import { MAX_TOKENS, type PriceTable } from '../prices.ts';
import type { Decision, Input, PolicyData, Usage } from '../types.gen.ts';

const NOTHING = { input: 0, cache_read: 0, cache_write: 0, cache_write_1h: 0, output: 0, reasoning: 0 };
/** As admit bounds a call, see gateway/stages/admit.ts. */
const TOOL_PROMPT_TOKENS = 1024;
const PLACEHOLDER_GROWTH = 24;
const MOST_TOKENS = MAX_TOKENS / 2;

/** The model a decision asks first; undefined when it refuses, or asks none. */
export const firstModel = (decision: Decision | undefined): string | undefined =>
  decision?.allow ? decision.route.candidates[0]?.model : undefined;

/** Micro-USD of a recorded usage at a model: 0 without one; undefined when the model has no price. */
export const usageCost = (prices: PriceTable, model: string | undefined, usage: Usage): number | undefined => {
  if (model === undefined) return 0;
  return prices.has(model) ? prices.cost(model, usage) : undefined;
};

/** Micro-USD of a prompt of so many tokens. 0 when the model has no price. */
export const promptCost = (prices: PriceTable, model: string, tokens: number): number =>
  prices.has(model) ? prices.cost(model, { ...NOTHING, input: tokens }) : 0;

/** Micro-USD of so many tokens of output, of any number of answers. 0 when the model has no price. */
export const outputCost = (prices: PriceTable, model: string, tokens: number): number => {
  if (!prices.has(model)) return 0;
  let microUsd = 0;
  for (let left = tokens; left > 0; left -= MOST_TOKENS) {
    microUsd += prices.cost(model, { ...NOTHING, output: Math.min(left, MOST_TOKENS) });
  }
  return microUsd;
};

/**
 * Micro-USD that a request can cost at most, about as the gateway reserves it. What the input does not tell is left out:
 * several choices for one prompt (`n`), and attempts that are given up.
 */
export const boundOf = (decision: Decision, input: Input, data: PolicyData, prices: PriceTable): number => {
  const { content, request } = input;
  let found = 0;
  for (const name in content.pii) found += content.pii[name]!;
  for (const name in content.secrets) found += content.secrets[name]!;
  const text = content.bytes + (request.tools.length > 0 ? TOOL_PROMPT_TOKENS : 0) + found * PLACEHOLDER_GROWTH;
  let bound = 0;
  for (const { model } of decision.route.candidates) {
    const entry = data.models[model];
    if (!entry || !prices.has(model)) continue;
    const prompt = content.uninspected.length > 0 ? entry.context_tokens : text;
    const caps = [decision.parameters.max_output_tokens, request.max_output_tokens];
    const output = Math.min(entry.max_output_tokens, ...caps.filter((cap) => typeof cap === 'number'));
    const inputTokensMax = Math.min(MOST_TOKENS, Math.max(content.tokens_estimate, prompt));
    bound = Math.max(bound, prices.upperBound({ models: [model], inputTokensMax, outputTokensMax: output }));
  }
  return bound;
};

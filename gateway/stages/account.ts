import type { Exchange } from '../exchange.ts';
import { MAX_TOKENS, type PriceTable } from '../prices.ts';
import type { ReportedUsage } from '../protocol/protocol.ts';
import type { Cost, Usage } from '../types.gen.ts';

/** What is known of the work a provider did. */
export interface Evidence {
  /** The model that answered. */
  readonly model: string;
  /** The provider's own count; null when the answer had none. */
  readonly reported: ReportedUsage | null;
  /** Estimated output tokens, asked for only when the provider's count is missing. */
  readonly outputEstimate: () => number;
}

export interface Account {
  readonly usage: Usage | null;
  readonly cost: Cost;
}

/** Failures after which a provider may have worked, and billed, without an answer reaching us. */
const MAYBE_BILLED = new Set(['first_byte_timeout', 'idle_timeout', 'reset', 'invalid_response', 'aborted']);

/**
 * Usage and cost of an exchange: the provider's count, or an estimate where it sent none, or one that no call can have.
 * Attempts that were given up after their prompt had been sent are charged by estimate on top: missing usage is never
 * free.
 */
export const account = (x: Exchange, prices: PriceTable, evidence: Evidence | null): Account => {
  const inputEstimate = x.products.described?.input.content.tokens_estimate ?? 0;
  const abandoned = x.attempts.filter(
    ({ status, error }) => status === null && error !== null && MAYBE_BILLED.has(error),
  );
  let microUsd = 0;
  for (const { model } of abandoned) microUsd += lostPromptCost(model, inputEstimate, prices);
  let usage: Usage | null = null;
  if (evidence) {
    usage = used(evidence, inputEstimate);
    microUsd += prices.cost(evidence.model, usage);
  } else if (abandoned.length > 0) {
    usage = { ...NONE, input: inputEstimate * abandoned.length, source: 'estimated' };
  }
  return { usage, cost: { micro_usd: microUsd, price_version: usage ? prices.revision : null } };
};

/** What an attempt is charged, micro-dollars, that was given up after a provider had its prompt. */
export const lostPromptCost = (model: string, promptTokens: number, prices: PriceTable): number =>
  prices.cost(model, { ...NONE, input: promptTokens });

/** What a call used that was answered. No prompt is empty: where a provider counts nothing of it, the estimate stands. */
const used = ({ reported, outputEstimate }: Evidence, inputEstimate: number): Usage => {
  if (!isCredible(reported)) return { ...NONE, input: inputEstimate, output: outputEstimate(), source: 'estimated' };
  if (inputOf(reported) > 0) return { ...reported, source: 'provider' };
  const output = Math.max(reported.output, outputEstimate());
  return { ...reported, input: inputEstimate, output, source: 'estimated' };
};

const isCredible = (reported: ReportedUsage | null): reported is ReportedUsage =>
  reported !== null && tokensOf(reported) <= MAX_TOKENS;

const NONE = { input: 0, cache_read: 0, cache_write: 0, cache_write_1h: 0, output: 0, reasoning: 0 };

/** All tokens of a usage. */
export const totalTokens = (usage: Usage | null): number => (usage ? tokensOf(usage) : 0);

/** The classes of a usage are disjoint. */
const tokensOf = (usage: ReportedUsage): number => inputOf(usage) + usage.output + usage.reasoning;

const inputOf = (usage: ReportedUsage): number =>
  usage.input + usage.cache_read + usage.cache_write + usage.cache_write_1h;

/** A cost as x-aegis-cost-usd: exact, six decimals. */
export const costUsd = (microUsd: number): string => {
  const text = String(microUsd).padStart(7, '0');
  return `${text.slice(0, -6)}.${text.slice(-6)}`;
};

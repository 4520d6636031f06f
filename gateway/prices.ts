import type { Model, PolicyData, Prices, Usage } from './types.gen.ts';

/**
 * Most tokens one cost may count. With prices up to MAX_USD_PER_MILLION_TOKENS every intermediate value stays below
 * 2^53: whole micro-dollars 4e9 × 1e6 = 4e15, the rest 4e9 × 999,999 < 4e15, their sum < 9.007e15.
 */
export const MAX_TOKENS = 4_000_000_000;
export const MAX_USD_PER_MILLION_TOKENS = 1_000_000;

const MICRO = 1_000_000;

/** Tokens of one request in disjoint classes. */
export type PricedUsage = Omit<Usage, 'source'>;

export interface CostBound {
  /** Every model the request may end up at. */
  readonly models: readonly string[];
  /** Input tokens at most, of all input classes together. */
  readonly inputTokensMax: number;
  /** Output tokens at most, reasoning included. */
  readonly outputTokensMax: number;
}

/** The prices of one bundle. Both functions give integer micro-dollars and throw RangeError on an unknown model or a bad count. */
export interface PriceTable {
  /** Revision of the bundle the prices come from: the `price_version` of each cost. */
  readonly revision: string;
  /** Whether a model has prices, its own or the default ones. */
  has(model: string): boolean;
  /** What this usage costs, rounded up. The long-context tier applies by the total of the input classes. */
  cost(model: string, usage: PricedUsage): number;
  /** No usage inside the bound costs more than this at any of the models. */
  upperBound(bound: CostBound): number;
}

/** Micro-dollars for a million tokens, split so that products stay exact: `whole` a token and `part` millionths of one. */
interface Rate {
  readonly whole: number;
  readonly part: number;
}

interface Tier {
  readonly input: Rate;
  readonly cacheRead: Rate;
  readonly cacheWrite: Rate;
  readonly cacheWrite1h: Rate;
  readonly output: Rate;
  readonly dearestInput: Rate;
}

interface ModelPrices {
  readonly base: Tier;
  readonly long: Tier | null;
  /** Input tokens above which `long` applies. */
  readonly aboveTokens: number;
}

type PriceData = Pick<PolicyData, 'models' | 'default_prices'>;

/** What a model of the data costs: its own prices, or the default ones. Undefined without either: it must not be asked. */
export const pricesOfModel = (data: PriceData, model: Model): Prices | undefined =>
  model.usd_per_million_tokens ?? data.default_prices;

/**
 * Builds the price table of a bundle's models. A model without prices has the default ones, or is not in the table.
 * Throws RangeError when a price has more than six decimals or is out of range.
 */
export const createPriceTable = (data: PriceData, revision: string): PriceTable => {
  const models = new Map<string, ModelPrices>();
  if (data.default_prices) tierOf('default_prices', data.default_prices);
  for (const [name, model] of Object.entries(data.models)) {
    const prices = pricesOfModel(data, model);
    if (!prices) continue;
    models.set(name, {
      base: tierOf(name, prices),
      long: model.long_context ? tierOf(name, model.long_context.usd_per_million_tokens) : null,
      aboveTokens: model.long_context?.above_tokens ?? Number.POSITIVE_INFINITY,
    });
  }
  const pricesOf = (name: string): ModelPrices => {
    const prices = models.get(name);
    if (prices === undefined) throw new RangeError(`no price for model "${name}" in revision ${revision}`);
    return prices;
  };
  return {
    revision,
    has: (name) => models.has(name),
    cost: (name, usage) => costOf(pricesOf(name), usage),
    upperBound: ({ models: names, inputTokensMax, outputTokensMax }) => {
      if (names.length === 0) throw new RangeError('a cost bound needs at least one model');
      checkTokens(inputTokensMax, outputTokensMax);
      let most = 0;
      for (const name of names) most = Math.max(most, boundOf(pricesOf(name), inputTokensMax, outputTokensMax));
      return most;
    },
  };
};

const costOf = (prices: ModelPrices, usage: PricedUsage): number => {
  const { input, cache_read, cache_write, cache_write_1h, output, reasoning } = usage;
  checkTokens(input, cache_read, cache_write, cache_write_1h, output, reasoning);
  const total = input + cache_read + cache_write + cache_write_1h;
  const tier = prices.long !== null && total > prices.aboveTokens ? prices.long : prices.base;
  const out = output + reasoning;
  const whole =
    input * tier.input.whole +
    cache_read * tier.cacheRead.whole +
    cache_write * tier.cacheWrite.whole +
    cache_write_1h * tier.cacheWrite1h.whole +
    out * tier.output.whole;
  const part =
    input * tier.input.part +
    cache_read * tier.cacheRead.part +
    cache_write * tier.cacheWrite.part +
    cache_write_1h * tier.cacheWrite1h.part +
    out * tier.output.part;
  return whole + Math.ceil(part / MICRO);
};

/** Both tiers are looked at where both are in reach: the long one need not be the dearer. */
const boundOf = (prices: ModelPrices, inputTokens: number, outputTokens: number): number => {
  const base = tierBound(prices.base, Math.min(inputTokens, prices.aboveTokens), outputTokens);
  if (prices.long === null || inputTokens <= prices.aboveTokens) return base;
  return Math.max(base, tierBound(prices.long, inputTokens, outputTokens));
};

const tierBound = (tier: Tier, inputTokens: number, outputTokens: number): number =>
  inputTokens * tier.dearestInput.whole +
  outputTokens * tier.output.whole +
  Math.ceil((inputTokens * tier.dearestInput.part + outputTokens * tier.output.part) / MICRO);

const checkTokens = (...counts: number[]): void => {
  let total = 0;
  for (const count of counts) {
    if (!Number.isInteger(count) || count < 0) throw new RangeError(`not a token count: ${count}`);
    total += count;
  }
  if (total > MAX_TOKENS) throw new RangeError(`more than ${MAX_TOKENS} tokens: ${total}`);
};

const tierOf = (model: string, prices: Prices): Tier => {
  const rates = {
    input: rateOf(model, prices.input),
    cacheRead: rateOf(model, prices.cache_read ?? prices.input),
    cacheWrite: rateOf(model, prices.cache_write ?? prices.input),
    cacheWrite1h: rateOf(model, prices.cache_write_1h ?? prices.input),
  };
  const dearestInput = Object.values(rates).reduce((a, b) => (microOf(b) > microOf(a) ? b : a));
  return { ...rates, dearestInput, output: rateOf(model, prices.output) };
};

const microOf = (rate: Rate): number => rate.whole * MICRO + rate.part;

const rateOf = (model: string, usd: number): Rate => {
  if (!(usd >= 0 && usd <= MAX_USD_PER_MILLION_TOKENS))
    throw new RangeError(`price of "${model}" out of range: ${usd}`);
  const micro = Math.round(usd * MICRO);
  // The nearest double of a price with six decimals, whatever its size: anything else would silently round money.
  if (micro / MICRO !== usd) throw new RangeError(`price of "${model}" has more than six decimals: ${usd}`);
  return { whole: Math.floor(micro / MICRO), part: micro % MICRO };
};

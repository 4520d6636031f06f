import type { PolicyData, Prices } from '../types.gen.ts';
import { type CatalogueEntry, cataloguePrices, type ListedPrices, PRICE_FIELDS } from './catalogue-prices.ts';

/** New prices of a policy's models, and what they say nothing of. */
export interface PriceList {
  readonly prices: Readonly<Record<string, ListedPrices>>;
  /** Models that get prices from the list. */
  readonly priced: readonly string[];
  /** Models that keep theirs. */
  readonly kept: readonly string[];
}

/**
 * Reads a price list for a policy's models. The list is the parsed YAML or JSON of either form: by the policy's model
 * names with `usd_per_million_tokens` (and `long_context`), as policies/models/data.yaml, or `{models: …}` of that; or
 * LiteLLM's catalogue by the provider's names. Throws an Error for another form, a name that the policy does not have in
 * the first form, and a list that prices none of its models.
 */
export const parsePriceList = (data: PolicyData, list: unknown): PriceList => {
  const entries = entriesOf(list);
  const isCatalogue = Object.values(entries).some((entry) => 'input_cost_per_token' in entry);
  const found = isCatalogue ? fromCatalogue(data, entries) : fromModels(data, entries);
  if (found.size === 0) throw new Error('the price list has none of the policy’s models');
  const names = Object.keys(data.models).sort();
  return {
    prices: Object.fromEntries(found),
    priced: names.filter((name) => found.has(name)),
    kept: names.filter((name) => !found.has(name)),
  };
};

/** A policy's data with other prices of some of its models. */
export const withPrices = (data: PolicyData, prices: ReadonlyMap<string, ListedPrices>): PolicyData => {
  const models = Object.entries(data.models).map(([name, model]) => {
    const listed = prices.get(name);
    if (!listed) return [name, model] as const;
    const { long_context: _, ...rest } = model;
    return [name, { ...rest, ...listed }] as const;
  });
  return { ...data, models: Object.fromEntries(models) };
};

const entriesOf = (list: unknown): Record<string, CatalogueEntry> => {
  if (!isObject(list)) throw new Error('the price list is not a table of models');
  const table = isObject(list.models) && !('usd_per_million_tokens' in list.models) ? list.models : list;
  for (const [name, entry] of Object.entries(table)) {
    if (!isObject(entry)) throw new Error(`the price list has no prices at ${JSON.stringify(name)}`);
  }
  return table as Record<string, CatalogueEntry>;
};

const fromModels = (data: PolicyData, entries: Record<string, CatalogueEntry>): Map<string, ListedPrices> => {
  const found = new Map<string, ListedPrices>();
  for (const [name, entry] of Object.entries(entries)) {
    if (!Object.hasOwn(data.models, name)) {
      throw new Error(`the price list names ${JSON.stringify(name)}, which is no model of the policy`);
    }
    const prices = entry.usd_per_million_tokens;
    if (prices === undefined) continue; // its price is default_prices, old and new
    const long = entry.long_context;
    found.set(name, {
      usd_per_million_tokens: pricesOf(prices, name),
      ...(isObject(long)
        ? {
            long_context: {
              above_tokens: numberOf(long.above_tokens, `${name}: above_tokens`),
              usd_per_million_tokens: pricesOf(long.usd_per_million_tokens, `${name}: long_context`),
            },
          }
        : {}),
    });
  }
  return found;
};

const CLASSES = new Set<string>(PRICE_FIELDS.map(([name]) => name));

const pricesOf = (prices: unknown, where: string): Prices => {
  if (!isObject(prices)) throw new Error(`${where}: usd_per_million_tokens is not a table of prices`);
  for (const [name, value] of Object.entries(prices)) {
    if (!CLASSES.has(name)) throw new Error(`${where}: ${JSON.stringify(name)} is no class of tokens`);
    numberOf(value, `${where}: ${name}`);
  }
  if (prices.input === undefined || prices.output === undefined)
    throw new Error(`${where}: input or output is missing`);
  return prices as unknown as Prices;
};

const numberOf = (value: unknown, where: string): number => {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new Error(`${where} is not a number from 0: ${JSON.stringify(value)}`);
};

/** By what the model is called at its upstreams, else by its own name. */
const fromCatalogue = (data: PolicyData, entries: Record<string, CatalogueEntry>): Map<string, ListedPrices> => {
  const found = new Map<string, ListedPrices>();
  for (const [name, model] of Object.entries(data.models)) {
    const names = Object.entries(model.upstreams).flatMap(([upstream, there]) => [there, `${upstream}/${there}`]);
    const listed = [...names, name].find((each) => Object.hasOwn(entries, each));
    if (listed === undefined) continue;
    try {
      found.set(name, cataloguePrices(entries[listed] as CatalogueEntry));
    } catch (cause) {
      throw new Error(`${listed}: ${(cause as Error).message}`, { cause });
    }
  }
  return found;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

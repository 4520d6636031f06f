import type { PolicyData, Prices } from '../types.gen.ts';

/** The prices of one model, as policy data have them. */
export type ListedPrices = Pick<PolicyData['models'][string], 'usd_per_million_tokens' | 'long_context'>;

/** A model in LiteLLM's model_prices_and_context_window.json; prices are US dollars a token. */
export type CatalogueEntry = Readonly<Record<string, unknown>>;

/** What a catalogue's entry calls a class of tokens, before any suffix for long prompts. */
export const PRICE_FIELDS: readonly (readonly [keyof Prices, string])[] = [
  ['input', 'input_cost_per_token'],
  ['cache_read', 'cache_read_input_token_cost'],
  ['cache_write', 'cache_creation_input_token_cost'],
  ['cache_write_1h', 'cache_creation_input_token_cost_above_1hr'],
  ['output', 'output_cost_per_token'],
];

/**
 * The prices of a catalogue's entry, in US dollars a million tokens. Throws an Error for what is no price, a price that is
 * missing, and more than one tier of long prompts; it does not name the model.
 */
export const cataloguePrices = (
  entry: CatalogueEntry,
): ListedPrices & Required<Pick<ListedPrices, 'usd_per_million_tokens'>> => ({
  usd_per_million_tokens: pricesOf(entry, ''),
  ...longContext(entry),
});

/** Dollars a token to dollars a million tokens, at most six decimals. */
const perMillion = (usd: number): number => Math.round(usd * 1e12) / 1e6;

const pricesOf = (entry: CatalogueEntry, suffix: string): Prices => {
  const found: Partial<Prices> = {};
  for (const [token, field] of PRICE_FIELDS) {
    const usd = entry[field + suffix];
    if (usd === undefined || usd === null) continue;
    if (typeof usd !== 'number' || !Number.isFinite(usd) || usd < 0)
      throw new Error(`${field}${suffix} is not a price: ${JSON.stringify(usd)}`);
    found[token] = perMillion(usd);
  }
  // A catalogue may leave out the output price of a model that has no output.
  const { input, output = entry.mode === 'embedding' ? 0 : undefined } = found;
  if (input === undefined || output === undefined) throw new Error(`input or output price${suffix} is missing`);
  return { ...found, input, output };
};

/** The tier of long prompts, such as input_cost_per_token_above_272k_tokens. */
const longContext = (entry: CatalogueEntry): Pick<ListedPrices, 'long_context'> => {
  const bounds = Object.keys(entry).flatMap(
    (field) => field.match(/^input_cost_per_token_above_(\d+)k_tokens$/)?.[1] ?? [],
  );
  const [bound, ...others] = bounds;
  if (bound === undefined) return {};
  if (others.length > 0) throw new Error(`more than one tier of long prompts: ${bounds.join('k, ')}k`);
  const prices = pricesOf(entry, `_above_${bound}k_tokens`);
  return { long_context: { above_tokens: Number(bound) * 1000, usd_per_million_tokens: prices } };
};

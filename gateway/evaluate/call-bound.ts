import type { PriceTable } from '../prices.ts';
import type { ChatRequest } from './ask.ts';

/** The output cap of a request that names none. */
export const DEFAULT_OUTPUT_CAP = 1024;

/**
 * What a request costs at most, millionths of a US dollar: no tokenizer makes more tokens of a text than it has bytes, and
 * the bytes are those of the whole body. Throws RangeError for a model without a price.
 */
export const callBound =
  (prices: PriceTable) =>
  ({ model, messages, parameters }: ChatRequest): number =>
    prices.upperBound({
      models: [model],
      inputTokensMax: Buffer.byteLength(JSON.stringify([messages, parameters])),
      outputTokensMax: parameters.max_completion_tokens ?? DEFAULT_OUTPUT_CAP,
    });

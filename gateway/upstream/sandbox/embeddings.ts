import { hash } from './answer.ts';
import { openAiWire } from './openai.ts';
import { countTokens, splitTokens } from './tokens.ts';
import type { Turn } from './turn.ts';
import { BadRequest, type SandboxWire } from './wire.ts';

interface EmbeddingsTurn extends Turn {
  readonly inputs: readonly Input[];
  readonly dimensions: number;
  readonly isBase64: boolean;
}

/** A text, or token ids as text: a word an id. */
interface Input {
  readonly words: readonly string[];
  readonly tokens: number;
}

const MOST_INPUTS = 2048;
const DIMENSIONS = 1536;
/** Of models with "large" in their name. */
const LARGE_DIMENSIONS = 3072;

/**
 * OpenAI's embeddings: https://platform.openai.com/docs/api-reference/embeddings. Vectors of unit length, the nearer the
 * more words two texts share.
 */
export const embeddingsWire: SandboxWire = {
  ...openAiWire,

  read: (body): EmbeddingsTurn => {
    if (typeof body.model !== 'string') throw new BadRequest('you must provide a model parameter', 'model');
    const inputs = inputsOf(body.input);
    const most = mostOf(body.model);
    const dimensions = body.dimensions ?? most;
    if (!Number.isInteger(dimensions) || (dimensions as number) < 1 || (dimensions as number) > most) {
      throw new BadRequest(`Invalid value for 'dimensions': expected an integer from 1 to ${most}.`, 'dimensions');
    }
    const format = body.encoding_format ?? 'float';
    if (format !== 'float' && format !== 'base64') {
      throw new BadRequest("Invalid value for 'encoding_format': expected 'float' or 'base64'.", 'encoding_format');
    }
    const texts = (Array.isArray(body.input) ? body.input : [body.input]).filter((text) => typeof text === 'string');
    return {
      model: body.model,
      prompt: texts.join('\n'),
      texts,
      toolResult: null,
      maxTokens: 0,
      stop: [],
      stream: false,
      tools: [],
      forcedTool: null,
      jsonSchema: null,
      inputs,
      dimensions: dimensions as number,
      isBase64: format === 'base64',
    };
  },

  whole: (turn) => {
    const { model, inputs, dimensions, isBase64 } = turn as EmbeddingsTurn;
    const tokens = inputs.reduce((sum, input) => sum + input.tokens, 0);
    return {
      object: 'list',
      data: inputs.map(({ words }, index) => {
        const vector = vectorOf(words, dimensions, mostOf(model));
        return { object: 'embedding', index, embedding: isBase64 ? base64Of(vector) : numbersOf(vector) };
      }),
      model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    };
  },

  events: () => [],
};

const mostOf = (model: string): number => (model.includes('large') ? LARGE_DIMENSIONS : DIMENSIONS);

const inputsOf = (value: unknown): Input[] => {
  if (value === undefined) throw new BadRequest("Missing required parameter: 'input'.", 'input');
  const list = Array.isArray(value) && typeof value[0] !== 'number' ? value : [value];
  if (list.length === 0 || list.length > MOST_INPUTS) {
    throw new BadRequest(`'$.input' is invalid: expected 1 to ${MOST_INPUTS} inputs.`, 'input');
  }
  return list.map((item: unknown): Input => {
    if (typeof item === 'string' && item !== '') return { words: wordsOf(item), tokens: countTokens(item) };
    if (Array.isArray(item) && item.length > 0 && item.every((id) => Number.isSafeInteger(id) && id >= 0)) {
      return { words: item.map(String), tokens: item.length };
    }
    throw new BadRequest("'$.input' is invalid: expected a text that is not empty, or token ids.", 'input');
  });
};

const wordsOf = (text: string): string[] => splitTokens(text.toLowerCase()).map((token) => token.trim());

/** Dimensions that one word adds to or takes from: few, since a text may have a million words. */
const WORD_DIMENSIONS = 32;
/** What the text as a whole adds to or takes from every dimension, so that none is zero. */
const TEXT_WEIGHT = 0.05;

/** Each word counts in dimensions of its own, always the same; fewer dimensions are the first of all. */
const vectorOf = (words: readonly string[], dimensions: number, most: number): Float32Array => {
  const sum = new Float64Array(dimensions);
  for (const word of words) {
    let bits = hash(word) || 1;
    for (let count = 0; count < WORD_DIMENSIONS; count++) {
      bits = next(bits);
      const at = (bits >>> 1) % most;
      if (at < dimensions) sum[at]! += bits & 1 ? 1 : -1;
    }
  }
  let bits = hash(words.join(' ')) || 1;
  let squares = 0;
  for (let at = 0; at < dimensions; at++) {
    bits = next(bits);
    const value = sum[at]! + (bits & 1 ? TEXT_WEIGHT : -TEXT_WEIGHT);
    sum[at] = value;
    squares += value * value;
  }
  const length = Math.sqrt(squares);
  return Float32Array.from(sum, (value) => value / length);
};

/** The next state of a 32-bit xorshift generator (Marsaglia); never 0 after another. */
const next = (state: number): number => {
  let bits = state ^ (state << 13);
  bits ^= bits >>> 17;
  return bits ^ (bits << 5);
};

/** Little-endian 32-bit floats, as the official clients ask for by default. */
const base64Of = (vector: Float32Array): string =>
  Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');

/** Nine digits tell a 32-bit float. */
const numbersOf = (vector: Float32Array): number[] => Array.from(vector, (value) => Number(value.toPrecision(9)));

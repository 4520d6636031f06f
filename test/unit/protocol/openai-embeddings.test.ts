import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { scanJson } from '../../../gateway/protocol/json-scan.ts';
import { openaiEmbeddings } from '../../../gateway/protocol/openai-embeddings.ts';
import type { Call, Edits } from '../../../gateway/protocol/protocol.ts';
import { splice } from '../../../gateway/protocol/splice.ts';

const call = (body: object | string): Call => {
  const raw = Buffer.from(
    typeof body === 'string' ? body : JSON.stringify({ model: 'text-embedding-3-small', ...body }),
  );
  return openaiEmbeddings.read(raw, scanJson(raw), JSON.parse(raw.toString()));
};
const edited = (body: object | string, edits: Edits): string => {
  const read = call(body);
  return splice(read.raw, openaiEmbeddings.edit(read, edits)).toString();
};
const paramOf = (run: () => unknown): unknown => {
  try {
    run();
    return undefined;
  } catch (error) {
    return (error as { detail: { param: string } }).detail.param;
  }
};

describe('reading embeddings', () => {
  test('a text, and a list of texts, are what the caller says', () => {
    expect(call({ input: 'hello', dimensions: 256 })).toMatchObject({
      endpoint: 'embeddings',
      dialect: 'openai',
      model: 'text-embedding-3-small',
      stream: false,
      maxOutputTokens: null,
      messages: 0,
      modalities: ['text'],
      texts: [{ role: 'user', text: 'hello' }],
      prompts: 1,
    });
    const list = call({ input: ['a', 'b', 'a@example.com'] });
    expect(list.texts.map(({ text }) => text)).toEqual(['a', 'b', 'a@example.com']);
    expect([list.prompts, list.uninspected.size]).toEqual([3, 0]);
  });

  test('token ids are tokens that nobody can read', () => {
    const one = call({ input: [1, 22, 333] });
    expect([one.prompts, one.tokenIds, [...one.uninspected], one.texts]).toEqual([1, 3, [['unknown', 10]], []]);
    const some = call({ input: [[1, 2], 'text', [3]] });
    expect([some.prompts, some.tokenIds, [...some.uninspected]]).toEqual([3, 3, [['unknown', 8]]]);
  });

  test('a conversation beside the input is unknown: vLLM would embed it in place of that', () => {
    const messages = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/y' } }] }];
    const read = call({ input: [1, 2], messages });
    expect(read.uninspected.get('unknown')).toBe(JSON.stringify(messages).length + '[1,2]'.length);
    expect([read.prompts, read.tokenIds]).toEqual([1, undefined]);
  });

  test('objects that some servers embed pass, uninspected, and hide how many tokens there are', () => {
    const read = call({ input: [{ type: 'image_url', image_url: { url: 'https://x/y' } }, [5]] });
    expect(read.uninspected.get('unknown')).toBeGreaterThan(50);
    expect([read.prompts, read.tokenIds]).toEqual([2, undefined]);
  });

  test.each<[object, string]>([
    [{}, 'input'],
    [{ input: null }, 'input'],
    [{ input: 5 }, 'input'],
    [{ input: { text: 'x' } }, 'input'],
    [{ input: ['a', 5] }, 'input[1]'],
    [{ input: ['a', null] }, 'input[1]'],
    [{ input: [5, 'a'] }, 'input[1]'],
    [{ input: [1.5] }, 'input[0]'],
    [{ input: [-1] }, 'input[0]'],
    [{ input: [[1], [2, 'x']] }, 'input[1][1]'],
    [{ input: 'x', model: '' }, 'model'],
  ])('%j is refused naming %s', (body, param) => expect(paramOf(() => call(body))).toBe(param));
});

describe('editing embeddings', () => {
  test('the model is replaced, and no cap, option or tool edit adds anything', () => {
    const text = '{ "input" : ["a" ,\n"b"], "model":"auto", "max_tokens": 7, "x":1.50 }';
    const edits = { model: 'm', maxOutputTokens: 5, includeUsage: true, removeTools: ['f'] };
    expect(edited(text, edits)).toBe(text.replace('"auto"', '"m"'));
  });

  test('Mistral gets its own name of the dimensions and no user', () => {
    const body = '{"user":"u","model":"a","input":"x","dimensions" : 256}';
    expect(edited(body, { kind: 'mistral', model: 'mistral-embed' })).toBe(
      '{"model":"mistral-embed","input":"x","output_dimension" : 256}',
    );
    expect(edited('{"model":"a","input":"x","dimensions":null}', { kind: 'mistral' })).toBe(
      '{"model":"a","input":"x"}',
    );
    expect(edited(body, { kind: 'openai' })).toBe(body);
    expect(paramOf(() => edited({ input: [1] }, { kind: 'mistral' }))).toBe('input');
    const both = { input: 'x', dimensions: 5, output_dimension: 6 };
    expect(paramOf(() => edited(both, { kind: 'mistral' }))).toBe('dimensions');
  });
});

describe('answers of embeddings', () => {
  const answer = {
    object: 'list',
    data: [{ embedding: [0.1], index: 0 }],
    usage: { prompt_tokens: 8, total_tokens: 8 },
  };

  test('usage is the prompt’s', () => {
    const usage = { input: 8, cache_read: 0, cache_write: 0, cache_write_1h: 0, output: 0, reasoning: 0 };
    expect(openaiEmbeddings.usage(answer)).toEqual(usage);
    expect(openaiEmbeddings.usage({ data: [] })).toBeNull();
  });

  test('one that OpenAI gave is read', () => {
    const given = readFileSync('test/fixtures/provider-recordings/openai/openai-embedding.json', 'utf8');
    expect(openaiEmbeddings.usage(JSON.parse(given))).toMatchObject({ input: 12, output: 0 });
  });

  test('nothing in them is text to restore, and no stream of them ever ends', () => {
    expect(openaiEmbeddings.answerTexts({ ...answer, choices: [{ text: 'x', message: { content: 'x' } }] })).toEqual(
      [],
    );
    expect(openaiEmbeddings.terminalAt(Buffer.from('data: [DONE]\n\n'))).toBe(-1);
    expect([openaiEmbeddings.hasOutput, openaiEmbeddings.isBilled]).toEqual([false, true]);
  });
});

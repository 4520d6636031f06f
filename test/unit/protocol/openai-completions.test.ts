import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { scanJson } from '../../../gateway/protocol/json-scan.ts';
import { openaiCompletions } from '../../../gateway/protocol/openai-completions.ts';
import type { AnswerText, Call, Edits } from '../../../gateway/protocol/protocol.ts';
import { splice } from '../../../gateway/protocol/splice.ts';
import { outputTokenBound } from '../../../gateway/stages/admit.ts';

const FIXTURES = 'test/fixtures/provider-recordings/openai';

const call = (body: object | string): Call => {
  const raw = Buffer.from(typeof body === 'string' ? body : JSON.stringify({ model: 'instruct', ...body }));
  return openaiCompletions.read(raw, scanJson(raw), JSON.parse(raw.toString()));
};
const edited = (body: object | string, edits: Edits): string => {
  const read = call(body);
  return splice(read.raw, openaiCompletions.edit(read, edits)).toString();
};
const paramOf = (run: () => unknown): unknown => {
  try {
    run();
    return undefined;
  } catch (error) {
    return (error as { detail: { param: string } }).detail.param;
  }
};

describe('reading completions', () => {
  test('a call gives what policies ask for', () => {
    const read = call({
      prompt: 'Once',
      suffix: ' end.',
      max_tokens: 9,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
      echo: true,
      logit_bias: { '50256': -100 },
    });
    expect(read).toMatchObject({
      endpoint: 'completions',
      dialect: 'openai',
      model: 'instruct',
      stream: true,
      includeUsage: true,
      maxOutputTokens: 9,
      temperature: 0,
      toolNames: [],
      prompts: 1,
      modalities: ['text'],
    });
    expect(read.texts).toEqual([
      { role: 'user', text: 'Once' },
      { role: 'user', text: ' end.' },
    ]);
  });

  test('a prompt may be left out, a list, token ids, or vectors', () => {
    expect(call({}).prompts).toBe(1);
    expect(call({ prompt: null }).texts).toEqual([{ role: 'user', text: '' }]);
    expect(call({ prompt: ['a', 'b'] }).prompts).toBe(2);
    const ids = call({ prompt: [[1, 2], [3]] });
    expect([ids.prompts, ids.tokenIds, [...ids.uninspected.keys()]]).toEqual([2, 3, ['unknown']]);
    expect(call({ prompt_embeds: 'QUJD'.repeat(100) })).toMatchObject({ opaque: new Set([3]) });
    expect(call({ prompt_embeds: ['QUJD', 'QUJD'] }).uninspected.get('unknown')).toBe(15);
  });

  test.each<[object, string]>([
    [{ prompt: 5 }, 'prompt'],
    [{ prompt: [1, 'x'] }, 'prompt[1]'],
    [{ prompt: 'x', max_tokens: 1.5 }, 'max_tokens'],
    [{ prompt: 'x', stream: 1 }, 'stream'],
    [{ prompt: 'x', stream_options: 1 }, 'stream_options'],
    [{ prompt: 'x', model: 1 }, 'model'],
  ])('%j is refused naming %s', (body, param) => expect(paramOf(() => call(body))).toBe(param));
});

describe('the output of completions is bounded', () => {
  test.each<[object, number]>([
    [{ prompt: 'x' }, 10],
    [{ prompt: 'x', n: 3 }, 30],
    [{ prompt: 'x', best_of: 5 }, 50],
    [{ prompt: 'x', n: 3, best_of: 5 }, 50],
    [{ prompt: 'x', n: 3, best_of: null }, 30],
    [{ prompt: ['x', 'y'], n: 2 }, 40],
    [{ prompt: [1, 2, 3] }, 10],
    [{ prompt: [[1], [2], [3]], best_of: 2 }, 60],
    [{ prompt: [] }, 10],
  ])('%j writes at most %i tokens with a cap of 10', (body, most) => {
    expect(outputTokenBound(call(body), 10)).toBe(most);
  });

  test.each<[object, string]>([
    [{ prompt: 'x', best_of: 0 }, 'best_of'],
    [{ prompt: 'x', best_of: 129 }, 'best_of'],
    [{ prompt: 'x', n: '2' }, 'n'],
  ])('%j is refused naming %s', (body, param) => {
    expect(paramOf(() => outputTokenBound(call(body), 10))).toBe(param);
  });

  test('more prompts than OpenAI takes are refused', () => {
    expect(() => outputTokenBound(call({ prompt: Array(2049).fill('x') }), 1)).toThrow(
      expect.objectContaining({ code: 'input_too_large', status: 400 }),
    );
  });
});

describe('editing completions', () => {
  test('the model is replaced and all else stays byte for byte', () => {
    const text = '{ "prompt" : "a",\n"model":"auto" ,"max_tokens":8, "x":1.50 }';
    expect(edited(text, { model: 'm', maxOutputTokens: 8 })).toBe(text.replace('"auto"', '"m"'));
  });

  test('a cap is added, lowered, and otherwise left as sent', () => {
    expect(JSON.parse(edited({ prompt: 'x' }, { maxOutputTokens: 5 }))).toMatchObject({ max_tokens: 5 });
    expect(JSON.parse(edited({ max_tokens: null }, { maxOutputTokens: 5 }))).toMatchObject({ max_tokens: 5 });
    expect(JSON.parse(edited({ max_tokens: 9 }, { maxOutputTokens: 5 }))).toMatchObject({ max_tokens: 5 });
    expect(JSON.parse(edited({ max_tokens: 0, echo: true }, { maxOutputTokens: 1 }))).toMatchObject({ max_tokens: 0 });
  });

  test('usage is asked for in streams alone', () => {
    const options = (body: object) => JSON.parse(edited(body, { includeUsage: true })).stream_options;
    expect(options({ prompt: 'x', stream: true })).toEqual({ include_usage: true });
    expect(options({ prompt: 'x', stream: true, stream_options: { include_usage: false } })).toEqual({
      include_usage: true,
    });
    expect(options({ prompt: 'x' })).toBeUndefined();
  });
});

describe('answers of completions', () => {
  const answer = () => ({
    id: 'cmpl-1',
    object: 'text_completion',
    created: 1,
    model: 'm',
    choices: [
      { text: 'one EMAIL_1', index: 1, logprobs: null, finish_reason: 'stop' },
      { text: 'two', index: 0, logprobs: null, finish_reason: 'length' },
    ],
    usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 },
  });

  test('each choice’s text is restored', () => {
    const body = answer();
    const texts = openaiCompletions.answerTexts(body);
    expect(texts.map(({ channel, place, json, value }) => [channel, place, json, value])).toEqual([
      ['choice 1 text', 'text', false, 'one EMAIL_1'],
      ['choice 0 text', 'text', false, 'two'],
    ]);
    texts[0]!.set('one a@example.com');
    expect(body.choices[0]!.text).toBe('one a@example.com');
  });

  test('in a stream the pieces of a choice are one text, which ends with its finish_reason', () => {
    const events = openaiCompletions.answerEvents();
    const head = { id: 'cmpl-1', object: 'text_completion', created: 2, model: 'm' };
    const piece = (index: number, text: string, finish_reason: string | null = null) =>
      events.read({ ...head, choices: [{ index, text, finish_reason, logprobs: null }] });
    const valuesOf = ({ pieces }: { pieces: readonly AnswerText[] }) => pieces.map(({ value }) => value);
    expect(valuesOf(piece(0, 'a'))).toEqual(['a']);
    piece(1, 'b');
    expect(events.open()).toEqual(['choice 0 text', 'choice 1 text']);
    expect(piece(0, '', 'stop').ended).toEqual(['choice 0 text']);
    expect(events.open()).toEqual(['choice 1 text']);
    expect(events.write('choice 1 text', 'c')).toBe(
      `data: ${JSON.stringify({ ...head, choices: [{ index: 1, text: 'c', logprobs: null, finish_reason: null }] })}\n\n`,
    );
  });

  test('those that OpenAI gave are read, whole and streamed', () => {
    const whole = JSON.parse(readFileSync(`${FIXTURES}/openai-completion-text.json`, 'utf8')) as unknown;
    expect(openaiCompletions.answerTexts(whole).map(({ value }) => value)).toEqual([
      'The new holiday is called "Gratitude Day" and it celebrates the importance of',
    ]);
    expect(openaiCompletions.usage(whole)).toMatchObject({ input: 14, output: 16 });
    const lines = readFileSync(`${FIXTURES}/openai-completion-text.chunks.txt`, 'utf8').trim().split('\n');
    const events = openaiCompletions.answerEvents();
    const usage = openaiCompletions.streamUsage();
    const read = lines.map((line) => {
      usage.feed(line);
      return events.read(JSON.parse(line));
    });
    expect(read.flatMap(({ pieces }) => pieces.map(({ value }) => value)).join('')).toMatch(/^The .+ dedicated to$/s);
    expect(read.flatMap(({ ended }) => ended)).toEqual(['choice 0 text']);
    expect([events.open(), usage.result()]).toMatchObject([[], { input: 14, output: 16 }]);
    expect(lines.map((line) => openaiCompletions.isUsageOnly(JSON.parse(line))).indexOf(true)).toBe(lines.length - 1);
  });

  test('usage, its event, and the end are those of chat completions', () => {
    expect(openaiCompletions.usage(answer())).toMatchObject({ input: 5, output: 7 });
    const usage = openaiCompletions.streamUsage();
    usage.feed(JSON.stringify({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }));
    expect(usage.result()).toMatchObject({ input: 1, output: 2 });
    expect(openaiCompletions.isUsageOnly({ choices: [], usage: {} })).toBe(true);
    expect(openaiCompletions.terminalAt(Buffer.from('data: {"choices":[{"text":"[DONE]"}]}\n\ndata: [DONE]\n\n'))).toBe(
      39,
    );
  });
});

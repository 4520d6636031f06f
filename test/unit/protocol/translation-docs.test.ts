import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { isGatewayError } from '../../../gateway/errors.ts';
import { isObject, type Json } from '../../../gateway/protocol/fields.ts';
import { scanJson } from '../../../gateway/protocol/json-scan.ts';
import type { Endpoint, UpstreamKind } from '../../../gateway/protocol/protocol.ts';
import { protocolOf } from '../../../gateway/protocol/protocols.ts';
import { splice } from '../../../gateway/protocol/splice.ts';
import { chatToMessages } from '../../../gateway/protocol/translate/chat-to-messages.ts';
import { messagesToChat } from '../../../gateway/protocol/translate/messages-to-chat.ts';
import { responsesToChat } from '../../../gateway/protocol/translate/responses-to-chat.ts';
import type { Translation } from '../../../gateway/protocol/translation.ts';
import { translationOf } from '../../../gateway/protocol/translations.ts';

/** The least a caller sends, by wire format. Rows are merged over it. */
const REQUESTS: Readonly<Record<string, Json>> = {
  'chat.completions': {
    model: 'claude-opus-5-5',
    max_completion_tokens: 1000,
    messages: [{ role: 'user', content: 'Hi' }],
  },
  messages: { model: 'gpt-5.5', max_tokens: 1000, messages: [{ role: 'user', content: 'Hi' }] },
  responses: { model: 'gpt-5.5', max_output_tokens: 1000, input: 'Hi' },
};

/** The least an upstream answers, by wire format. */
const ANSWERS: Readonly<Record<string, Json>> = {
  'chat.completions': {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model: 'gpt-5.5',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Ho', refusal: null }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  },
  messages: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-opus-5-5',
    content: [{ type: 'text', text: 'Ho' }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 1 },
  },
};

interface Row {
  readonly line: number;
  readonly isAnswer: boolean;
  readonly sent: Json;
  /** What must be contained, or the `param` of a refusal. */
  readonly arrives: Json | string;
}

interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
}

const HEADS: Readonly<Record<string, boolean>> = {
  '| Sent | Arrives | Why |': false,
  '| Upstream says | Caller reads | Why |': true,
};

const codeOf = (cell: string, line: number): string => {
  const match = /^(`+)(.+)\1$/.exec(cell);
  if (!match) throw new Error(`docs/translation.md:${line}: expected inline code, not ${cell}`);
  return match[2]!.trim().replaceAll('\\|', '|');
};

const parseRow = (text: string, line: number, isAnswer: boolean): Row => {
  const [sent, arrives, ...why] = text
    .trim()
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
  if (sent === undefined || arrives === undefined || why.length !== 1) {
    throw new Error(`docs/translation.md:${line}: a row has three cells`);
  }
  const refusal = /^400 (`.+`)$/.exec(arrives);
  return {
    line,
    isAnswer,
    sent: JSON.parse(codeOf(sent, line)) as Json,
    arrives: refusal ? codeOf(refusal[1]!, line) : (JSON.parse(codeOf(arrives, line)) as Json),
  };
};

const sections = (): Section[] => {
  const found: { title: string; rows: Row[] }[] = [];
  let isAnswer: boolean | undefined;
  readFileSync('docs/translation.md', 'utf8')
    .split('\n')
    .forEach((text, index) => {
      if (text.startsWith('## ')) found.push({ title: text.slice(3).trim(), rows: [] });
      if (!text.startsWith('|')) isAnswer = undefined;
      else if (text in HEADS) isAnswer = HEADS[text];
      else if (!/^\|[-:| ]+\|$/.test(text)) {
        if (isAnswer === undefined) throw new Error(`docs/translation.md:${index + 1}: a table with other columns`);
        found.at(-1)!.rows.push(parseRow(text, index + 1, isAnswer));
      }
    });
  return found;
};

/** Where `actual` does not contain `wanted`; empty where it does. */
const missing = (wanted: unknown, actual: unknown, path: string): string[] => {
  if (wanted === null) return actual === null || actual === undefined ? [] : [`${path} is there`];
  if (Array.isArray(wanted)) {
    if (!Array.isArray(actual)) return [`${path} is no array`];
    if (actual.length !== wanted.length) return [`${path} has ${actual.length} elements`];
    return wanted.flatMap((item, index) => missing(item, actual[index], `${path}[${index}]`));
  }
  if (isObject(wanted)) {
    if (!isObject(actual)) return [`${path} is no object`];
    return Object.keys(wanted).flatMap((key) => missing(wanted[key], actual[key], `${path}.${key}`));
  }
  return Object.is(wanted, actual) ? [] : [`${path} is ${JSON.stringify(actual)}`];
};

/** Translations that nothing registers yet. */
const LOCAL: readonly Translation[] = [chatToMessages, messagesToChat, responsesToChat];

const translationNamed = (from: Endpoint, to: Endpoint): Translation | undefined => {
  try {
    return translationOf(from, to) ?? undefined;
  } catch {
    return LOCAL.find((translation) => translation.from === from && translation.to === to);
  }
};

type Run = (row: Row) => Json;

const translated =
  (translation: Translation): Run =>
  ({ sent, isAnswer }) => {
    if (!isAnswer) return translation.request({ ...REQUESTS[translation.from], ...sent });
    const body = REQUESTS[translation.from]!;
    const context = { body, id: '0a1b2c', created: 1_760_000_000, includeUsage: true };
    return translation.answer({ ...ANSWERS[translation.to], ...sent }, context);
  };

/** A body as a provider of some kind is sent it in its own wire format. */
const renamed =
  (endpoint: Endpoint, kind: UpstreamKind): Run =>
  ({ sent }) => {
    const body = { ...REQUESTS[endpoint], ...sent };
    const raw = Buffer.from(JSON.stringify(body));
    const protocol = protocolOf(endpoint);
    const edited = splice(raw, protocol.edit(protocol.read(raw, scanJson(raw), body), { kind }));
    return JSON.parse(edited.toString()) as Json;
  };

const runOf = (title: string): Run | undefined => {
  const [from, to] = title.split(' → ') as [Endpoint, Endpoint?];
  if (to !== undefined) {
    const translation = translationNamed(from, to);
    return translation && translated(translation);
  }
  const [endpoint, kind] = title.split(' at ') as [Endpoint, UpstreamKind?];
  return kind === undefined ? undefined : renamed(endpoint, kind);
};

const outcome = (run: Run, row: Row): Json | string => {
  try {
    return run(row);
  } catch (error) {
    if (!isGatewayError(error) || error.code !== 'invalid_field') throw error;
    expect(error.status).toBe(400);
    return `${error.detail.param}`;
  }
};

const all = sections();

describe.each(all)('docs/translation.md, $title', ({ title, rows }) => {
  const run = runOf(title);
  if (!run) {
    test.todo('is run once its translation is registered');
    return;
  }
  test.each(rows.map((row): [string, Row] => [`line ${row.line}`, row]))('%s says what happens', (_name, row) => {
    const before = structuredClone(row.sent);
    const actual = outcome(run, row);
    if (typeof row.arrives === 'string' || typeof actual === 'string') expect(actual).toBe(row.arrives);
    else expect(missing(row.arrives, actual, '$')).toEqual([]);
    expect(row.sent).toEqual(before);
  });
});

/** The members of ChatCompletionCreateParams in openai 7.57 (resources/chat/completions/completions.d.ts). */
const CHAT_FIELDS = [
  ...['messages', 'model', 'audio', 'frequency_penalty', 'function_call', 'functions', 'logit_bias', 'logprobs'],
  ...['max_completion_tokens', 'max_tokens', 'metadata', 'modalities', 'moderation', 'n', 'parallel_tool_calls'],
  ...['prediction', 'presence_penalty', 'prompt_cache_key', 'prompt_cache_options', 'prompt_cache_retention'],
  ...['reasoning_effort', 'response_format', 'safety_identifier', 'seed', 'service_tier', 'stop', 'store', 'stream'],
  ...['stream_options', 'temperature', 'tool_choice', 'tools', 'top_logprobs', 'top_p', 'user', 'verbosity'],
  'web_search_options',
];

describe('docs/translation.md', () => {
  test.each(CHAT_FIELDS)('tells what becomes of a chat completion’s %s as messages', (field) => {
    const rows = all.find(({ title }) => title === 'chat.completions → messages')?.rows ?? [];
    expect(rows.filter(({ isAnswer, sent }) => !isAnswer && field in sent)).not.toEqual([]);
  });

  test.each(CHAT_FIELDS.filter((field) => field !== 'model'))(
    'tells what becomes of a chat completion’s %s at Mistral',
    (field) => {
      const rows = all.find(({ title }) => title === 'chat.completions at mistral')?.rows ?? [];
      expect(rows.filter(({ sent }) => field in sent)).not.toEqual([]);
    },
  );

  test('has rows in every section, and each section once', () => {
    const titles = all.map(({ title }) => title);
    expect(titles).toEqual([...new Set(titles)]);
    for (const { title, rows } of all) expect([title, rows.length > 0]).toEqual([title, true]);
  });
});

import { describe, expect, test } from '@jest/globals';
import { openaiResponses } from '../../../gateway/protocol/openai-responses.ts';
import type { ReportedUsage } from '../../../gateway/protocol/protocol.ts';
import { providerErrorOf } from '../../../gateway/protocol/provider-error.ts';
import { splitEvents } from '../../../gateway/protocol/sse.ts';
import { createVaults } from '../../../gateway/redact/vault.ts';
import { createStreamRestore } from '../../../gateway/stages/restore.ts';
import { recordingsOf } from '../../support/recordings.ts';

type Json = Record<string, unknown>;
const { whole, streamed } = recordingsOf('responses');
const total = (usage: ReportedUsage | null): number =>
  usage === null ? 0 : Object.values(usage).reduce((sum, tokens) => sum + tokens, 0);
const vaultOf = (value: string) => {
  const vault = createVaults(Buffer.alloc(32, 3))('s');
  const rule = {
    entity: 'email',
    action: 'tokenize',
    in: ['request'],
    restore: ['text', 'links', 'tool_arguments'],
  } as const;
  return {
    vault,
    placeholder: vault.replace(value, 'email', { ...rule, in: ['request'], restore: [...rule.restore] }),
  };
};

/** Items in which the model says something to the caller, or wants something of it. */
const SAYS = new Set([
  ...['message', 'function_call', 'custom_tool_call', 'shell_call', 'local_shell_call', 'apply_patch_call'],
  'tool_search_call',
]);

/** Whose makers left out pieces of texts that they kept whole. */
const ABRIDGED = /(?:phase|shell-container)\.1\.chunks/;

/** What a client makes of a stream: the pieces of each text joined, and each text that comes whole. */
const textsIn = (bytes: Buffer): Map<string, string> => {
  const texts = new Map<string, string>();
  const reader = openaiResponses.answerEvents();
  splitEvents(bytes).forEach((event, index) => {
    for (const { channel, value } of reader.read(JSON.parse(event.toString().split('\ndata: ')[1]!)).pieces) {
      const place = channel.startsWith('whole ') ? `${index} ${channel}` : channel;
      texts.set(place, (texts.get(place) ?? '') + value);
    }
  });
  return texts;
};

test('there are recordings, whole and streamed', () => {
  expect(whole.length).toBeGreaterThanOrEqual(20);
  expect(streamed.length).toBeGreaterThanOrEqual(25);
});

describe('a recorded response', () => {
  test.each(whole.map(({ name, parsed }) => [name, parsed[0] as Json] as const))('%s', (_, body) => {
    const usage = openaiResponses.usage(body);
    expect(total(usage)).toBe((body.usage as Json).total_tokens);
    const texts = openaiResponses.answerTexts(body);
    const types = (body.output as Json[]).map(({ type }) => String(type));
    expect(texts.length > 0).toBe(types.some((type) => SAYS.has(type)));
    const before = JSON.stringify(body);
    for (const text of texts) text.set(text.value);
    expect(JSON.stringify(body)).toBe(before);
  });
});

/** A word of the answer that comes as a piece of its own. */
const wordOf = (events: readonly Json[]): string | undefined =>
  events
    .filter(({ type }) => type === 'response.output_text.delta')
    .map(({ delta }) => String(delta))
    .find((delta) => /^ [a-zA-Z]{4,}$/.test(delta));

describe('a recorded stream', () => {
  test.each(streamed.map((recording) => [recording.name, recording] as const))('%s', (name, { bytes, parsed }) => {
    const events = splitEvents(bytes);
    const last = parsed.at(-1) as { response: Json };

    // It ends with its last event, and not before.
    const end = bytes.length - events.at(-1)!.length;
    expect(openaiResponses.terminalAt(bytes)).toBe(end);
    expect(openaiResponses.terminalAt(bytes.subarray(0, end))).toBe(-1);

    const usage = openaiResponses.streamUsage();
    for (const event of parsed) usage.feed(JSON.stringify(event));
    expect(total(usage.result())).toBe((last.response.usage as Json | null)?.total_tokens ?? 0);
    expect(parsed.some((event) => providerErrorOf(event) !== null)).toBe(last.response.status === 'failed');

    // What came in pieces is what comes whole, each time.
    const reader = openaiResponses.answerEvents();
    const joined = new Map<string, string>();
    const wholes = new Map<string, Set<string>>();
    for (const event of parsed) {
      const { pieces, ended } = reader.read(event);
      for (const { channel, value } of pieces) {
        const of = channel.startsWith('whole ') ? channel.split(' ').slice(2).join(' ') : undefined;
        if (of === undefined) joined.set(channel, (joined.get(channel) ?? '') + value);
        else {
          expect(ended).toContain(channel);
          wholes.set(of, (wholes.get(of) ?? new Set()).add(value));
        }
      }
    }
    expect(reader.open()).toEqual([]);
    for (const [channel, text] of joined) {
      const [whole, ...others] = [...wholes.get(channel)!].filter(Boolean);
      expect(others).toEqual([]);
      if (!ABRIDGED.test(name)) expect(whole).toBe(text);
    }

    // Nothing to restore: it says the same, in as many events. (What could begin a placeholder waits for its end.)
    const restore = createStreamRestore(openaiResponses, vaultOf('ann@example.com').vault);
    const out = [restore.push(bytes.subarray(0, end)), restore.flush(), restore.push(bytes.subarray(end))];
    expect(splitEvents(Buffer.concat(out))).toHaveLength(events.length);
    expect(textsIn(Buffer.concat(out))).toEqual(textsIn(bytes));
  });

  test.each(
    streamed
      .map(({ name, parsed }) => [name, wordOf(parsed), parsed] as const)
      .filter(([, word]) => word !== undefined),
  )('%s, with a placeholder in the place of%s, is restored wherever it is said', (_, word, parsed) => {
    const value = 'ann@example.com';
    const { vault, placeholder } = vaultOf(value);
    const swap = (text: string): string => text.replaceAll(word!, ` ${placeholder}`);
    const masked = parsed.map(
      (event) =>
        JSON.parse(JSON.stringify(event), (_key, held) => (typeof held === 'string' ? swap(held) : held)) as Json,
    );
    // A piece in three: a placeholder comes in as many tokens.
    const stream = masked.flatMap((event) => {
      if (event.type !== 'response.output_text.delta' || !String(event.delta).includes(placeholder)) return [event];
      const delta = String(event.delta);
      return [delta.slice(0, 4), delta.slice(4, 11), delta.slice(11)].map((piece) => ({ ...event, delta: piece }));
    });
    const bytes = Buffer.from(stream.map((event) => openaiResponses.eventText(event)).join(''));
    const at = openaiResponses.terminalAt(bytes);
    const restore = createStreamRestore(openaiResponses, vault);
    const out = Buffer.concat([restore.push(bytes.subarray(0, at)), restore.flush(), restore.push(bytes.subarray(at))]);
    const texts = textsIn(out);
    const all = [...texts.values()].join('\n');
    expect(all).toContain(value);
    expect(all).not.toContain(placeholder);
  });
});

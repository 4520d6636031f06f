import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { openaiResponses } from '../../../gateway/protocol/openai-responses.ts';
import type { Protocol, ReportedUsage } from '../../../gateway/protocol/protocol.ts';
import { protocolOf } from '../../../gateway/protocol/protocols.ts';
import { eventData, splitEvents } from '../../../gateway/protocol/sse.ts';

const ROOT = new URL('../../fixtures/provider-recordings/', import.meta.url).pathname;
const FAMILIES: [string, Protocol][] = [
  ['anthropic', protocolOf('messages')],
  ['openai', protocolOf('chat.completions')],
  ['openai-responses', openaiResponses],
  ['openai-compatible', protocolOf('chat.completions')],
  ['mistral', protocolOf('chat.completions')],
];
const files = (family: string, ending: string): string[] =>
  readdirSync(join(ROOT, family)).filter((name) => name.endsWith(ending));
const text = (family: string, name: string): string => readFileSync(join(ROOT, family, name), 'utf8');

const total = (usage: ReportedUsage | null): number =>
  usage ? Object.values(usage).reduce((sum, count) => sum + count, 0) : 0;
const isSound = (usage: ReportedUsage | null): boolean =>
  usage !== null && Object.values(usage).every((count) => Number.isSafeInteger(count) && count >= 0);

describe.each(FAMILIES)('recordings of %s', (family, protocol) => {
  test('every whole answer that has usage gives it', () => {
    for (const name of files(family, '.json')) {
      const body = JSON.parse(text(family, name));
      if (!body.usage) continue;
      const usage = protocol.usage(body);
      expect([name, isSound(usage)]).toEqual([name, true]);
      // Where a total is sent, the classes add up to it.
      if (body.usage.total_tokens) expect([name, total(usage)]).toEqual([name, body.usage.total_tokens]);
    }
  });

  test('every stream gives its usage and texts, and each channel it opens is ended or open at the end', () => {
    const names = files(family, '.chunks.txt');
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      const usage = protocol.streamUsage();
      const events = protocol.answerEvents();
      const seen = new Set<string>();
      const over = new Set<string>();
      for (const line of text(family, name).split('\n').filter(Boolean)) {
        usage.feed(line);
        const { pieces, ended } = events.read(JSON.parse(line));
        for (const { channel } of pieces) seen.add(channel);
        for (const channel of ended) over.add(channel);
      }
      for (const channel of events.open()) over.add(channel);
      expect([name, [...seen].filter((channel) => !over.has(channel))]).toEqual([name, []]);
      if (/(?:prompt|input)_tokens"/.test(text(family, name)))
        expect([name, isSound(usage.result())]).toEqual([name, true]);
    }
  });
});

describe('single recordings', () => {
  test('reasoning that xAI counts on top of the completion is counted once', () => {
    const last = text('openai-compatible', 'xai-text.chunks.txt').trim().split('\n').at(-1)!;
    expect(protocolOf('chat.completions').usage(JSON.parse(last))).toEqual({
      input: 1,
      cache_read: 11,
      cache_write: 0,
      cache_write_1h: 0,
      output: 2,
      reasoning: 340,
    });
  });

  test('input tokens that a message_delta corrects are taken', () => {
    const usage = protocolOf('messages').streamUsage();
    for (const line of text('anthropic', 'anthropic-message-delta-input-tokens.chunks.txt').trim().split('\n'))
      usage.feed(line);
    expect(usage.result()).toMatchObject({ input: 61, output: 2 });
  });

  test('a raw stream has its terminal event, and its tool arguments join to JSON', () => {
    const raw = readFileSync(join(ROOT, 'openai-compatible/anthropic-fallback-tool-call.sse'));
    const protocol = protocolOf('chat.completions');
    expect(protocol.terminalAt(raw)).toBeGreaterThan(0);
    const events = protocol.answerEvents();
    let joined = '';
    for (const event of splitEvents(raw)) {
      const { data } = eventData(event);
      if (data === null || data === '[DONE]') continue;
      for (const piece of events.read(JSON.parse(data)).pieces) if (piece.json) joined += piece.value;
    }
    expect(JSON.parse(joined)).toEqual({ path: 'a.txt' });
  });
});

import { describe, expect, test } from '@jest/globals';
import type { Json } from '../../../gateway/protocol/fields.ts';
import { scanJson } from '../../../gateway/protocol/json-scan.ts';
import type { Endpoint, UpstreamKind } from '../../../gateway/protocol/protocol.ts';
import { protocolOf } from '../../../gateway/protocol/protocols.ts';
import { splice } from '../../../gateway/protocol/splice.ts';
import { thinkingSignature } from '../../../gateway/protocol/translate/messages-to-chat-thinking.ts';
import { reasoningDetail } from '../../../gateway/protocol/translate/reasoning-details.ts';
import { packReasoning } from '../../../gateway/protocol/translate/responses-to-chat-reasoning.ts';

/** The body as it goes to an upstream that speaks the caller's own API. */
const sent = (endpoint: Endpoint, body: Json, kind?: UpstreamKind, indent?: number): Json => {
  const raw = Buffer.from(JSON.stringify(body, null, indent));
  const protocol = protocolOf(endpoint);
  const call = protocol.read(raw, scanJson(raw), body);
  return JSON.parse(splice(raw, protocol.edit(call, kind === undefined ? {} : { kind })).toString()) as Json;
};

const OWN_THINKING = { type: 'thinking', thinking: 'Hm.', signature: thinkingSignature('m', 'reasoning_content') };
const THINKING = { type: 'thinking', thinking: 'Aha.', signature: 'ErUB' };
const TEXT = { type: 'text', text: 'Ho' };
const DETAIL = reasoningDetail(THINKING, 'msg_1_0');
const FOREIGN = { type: 'reasoning.text', text: 'Hm.', format: 'unknown' };
const ITEM = {
  type: 'reasoning',
  id: 'rs_1',
  summary: [],
  encrypted_content: packReasoning({ model: 'm', field: 'reasoning', details: [] }),
};
const SEALED = { type: 'reasoning', id: 'rs_2', summary: [], encrypted_content: 'gAAAAABo' };

const messages = (...content: Json[]): Json => ({
  model: 'm',
  max_tokens: 5,
  messages: [
    { role: 'user', content: 'aegis' },
    { role: 'assistant', content },
    { role: 'user', content: 'Go on.' },
  ],
});

test('reasoning in hundreds of thousands of pieces is left out like one', () => {
  const details = Array.from({ length: 150_000 }, () => [DETAIL, FOREIGN]).flat();
  const body = { model: 'm', messages: [{ role: 'assistant', content: 'x', reasoning_details: details }] };
  const [message] = sent('chat.completions', body, 'openai').messages as { reasoning_details: unknown[] }[];
  expect(message!.reasoning_details).toHaveLength(150_000);
});

describe.each([undefined, 2])('reasoning that a translation gave (indented by %s)', (indent) => {
  test('stays away from Anthropic, and its own goes back', () => {
    for (const list of [
      [OWN_THINKING, TEXT],
      [THINKING, OWN_THINKING, TEXT],
      [OWN_THINKING, THINKING, OWN_THINKING, TEXT],
    ]) {
      const left = list.filter((block) => block !== OWN_THINKING);
      expect(sent('messages', messages(...list), 'anthropic', indent)).toEqual(messages(...left));
    }
  });

  test('stays away from OpenAI’s responses, and its own goes back', () => {
    const body = (...items: Json[]): Json => ({ model: 'm', input: [{ role: 'user', content: 'aegis' }, ...items] });
    expect(sent('responses', body(ITEM, SEALED, ITEM), 'openai', indent)).toEqual(body(SEALED));
  });

  test('stays away from chat completions, and that of others goes back', () => {
    const body = (...details: Json[]): Json => ({
      model: 'm',
      messages: [
        { role: 'user', content: 'aegis' },
        { role: 'assistant', content: 'Ho', reasoning_details: details },
      ],
    });
    expect(sent('chat.completions', body(DETAIL, FOREIGN), 'openai', indent)).toEqual(body(FOREIGN));
  });

  test('stays where a translation is to come, which knows it', () => {
    expect(sent('messages', messages(OWN_THINKING, TEXT), undefined, indent)).toEqual(messages(OWN_THINKING, TEXT));
  });
});

import { describe, expect, test } from '@jest/globals';
import { anthropicCountTokens } from '../../../gateway/protocol/anthropic-count-tokens.ts';
import { scanJson } from '../../../gateway/protocol/json-scan.ts';
import type { Call, Edits } from '../../../gateway/protocol/protocol.ts';
import { splice } from '../../../gateway/protocol/splice.ts';

const BODY = {
  model: 'claude-sonnet-5',
  system: 'be brief',
  messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
  tools: [
    { name: 'f', input_schema: {} },
    { name: 'g', input_schema: {} },
  ],
  tool_choice: { type: 'tool', name: 'f' },
};
const call = (body: object): Call => {
  const raw = Buffer.from(JSON.stringify(body));
  return anthropicCountTokens.read(raw, scanJson(raw), JSON.parse(raw.toString()));
};
const edited = (body: object, edits: Edits): object => {
  const read = call(body);
  return JSON.parse(splice(read.raw, anthropicCountTokens.edit(read, edits)).toString());
};

describe('counting tokens', () => {
  test('reads a body of messages that has no cap', () => {
    expect(call(BODY)).toMatchObject({
      endpoint: 'messages.count_tokens',
      dialect: 'anthropic',
      model: 'claude-sonnet-5',
      stream: false,
      maxOutputTokens: null,
      messages: 2,
      toolNames: ['f', 'g'],
      texts: [
        { role: 'system', text: 'be brief' },
        { role: 'user', text: 'hi' },
      ],
    });
  });

  test('refuses what messages refuse, naming it', () => {
    for (const [body, param] of [
      [{ ...BODY, messages: undefined }, 'messages'],
      [{ ...BODY, messages: [{ role: 'user', content: [5] }] }, 'messages[0].content[0]'],
      [{ ...BODY, tools: [{}] }, 'tools[0].name'],
    ] as const) {
      expect(() => call(body)).toThrow(
        expect.objectContaining({ code: 'invalid_field', detail: expect.objectContaining({ param }) }),
      );
    }
  });

  test('an edit sets the model and takes tools out, and never adds a cap', () => {
    const edits = { model: 'm', maxOutputTokens: 5, includeUsage: true, removeTools: ['f'] };
    const { tool_choice: _, ...rest } = BODY;
    expect(edited(BODY, edits)).toEqual({ ...rest, model: 'm', tools: [BODY.tools[1]] });
    expect(edited({ ...BODY, max_tokens: 9 }, { maxOutputTokens: 5 })).toEqual({ ...BODY, max_tokens: 9 });
  });

  test('the answer is a number: free, without text, and no stream', () => {
    expect([anthropicCountTokens.hasOutput, anthropicCountTokens.isBilled]).toEqual([false, false]);
    const answer = { input_tokens: 14, usage: { input_tokens: 3 }, content: [{ type: 'text', text: 'x' }] };
    expect(anthropicCountTokens.usage(answer)).toBeNull();
    expect(anthropicCountTokens.answerTexts(answer)).toEqual([]);
    expect(anthropicCountTokens.terminalAt(Buffer.from('event: message_stop\ndata: {}\n\n'))).toBe(-1);
  });
});

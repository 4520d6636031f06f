import { describe, expect, test } from '@jest/globals';
import { recordedAnswerText } from '../../../gateway/evaluate/recorded-answer.ts';
import { recordedMessages } from '../../../gateway/evaluate/recorded-messages.ts';
import { chatCompletion, chatStream, message } from '../../support/answers.ts';

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe('a recorded prompt as chat messages', () => {
  test('of chat completions stays as it is', () => {
    const messages = [{ role: 'user', content: 'Mail [EMAIL_1].' }];
    expect(recordedMessages(json({ model: 'm', messages }))).toEqual(messages);
  });

  test('of messages has its system prompt as a message', () => {
    const body = {
      model: 'm',
      max_tokens: 9,
      system: 'Be kind.',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello.' }] }],
    };
    const turned = recordedMessages(json(body)) as { role: string }[];
    expect(turned.map(({ role }) => role)).toEqual(['system', 'user']);
    expect(JSON.stringify(turned)).toContain('Hello.');
  });

  test.each([
    ['tools', { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'function' }] }],
    ['tools', { messages: [{ role: 'tool', content: 'x' }] }],
    ['tools', { messages: [{ role: 'user', content: [{ type: 'tool_result', content: 'x' }] }] }],
    ['parts other than text', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }],
    ['no conversation', { input: 'x' }],
    ['no conversation', { messages: [] }],
  ])('is none with %s', (reason, body) => {
    expect(recordedMessages(json(body))).toBe(reason);
  });
});

describe('the text of a recorded answer', () => {
  test('of either API, whole or streamed', () => {
    expect(recordedAnswerText(json(chatCompletion('one')))).toBe('one');
    expect(recordedAnswerText(json(message('two')))).toBe('two');
    expect(recordedAnswerText(Buffer.from(chatStream(['th', 'ree']).join('')))).toBe('three');
    const event = (data: object): string => `event: x\ndata: ${JSON.stringify(data)}\n\n`;
    const streamed = ['fo', 'ur'].map((text) =>
      event({ type: 'content_block_delta', delta: { type: 'text_delta', text } }),
    );
    expect(recordedAnswerText(Buffer.from(streamed.join('')))).toBe('four');
  });

  test('is undefined where there is none', () => {
    expect(recordedAnswerText(Buffer.from('{"error":{}}'))).toBeUndefined();
    expect(recordedAnswerText(Buffer.from(''))).toBeUndefined();
  });
});

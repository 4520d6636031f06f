import { describe, expect, test } from '@jest/globals';
import { drawRecorded } from '../../../gateway/evaluate/recorded.ts';
import { recordedAnswerText } from '../../../gateway/evaluate/recorded-answer.ts';
import { recordedMessages } from '../../../gateway/evaluate/recorded-messages.ts';
import type { AuditIntent, AuditOutcome } from '../../../gateway/types.gen.ts';
import { chatCompletion, chatStream, message } from '../../support/answers.ts';
import { contentOf, intentOf, outcomeOf, withHome } from '../../support/audit.ts';

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

test('of a mirrored request the mirror’s answer comes along, and the mirror is no task itself', () =>
  withHome(async (home, open) => {
    const log = await open();
    const prompt = (text: string) => contentOf(JSON.stringify({ messages: [{ role: 'user', content: text }] }));
    const input = (at: number): AuditIntent['input'] => ({
      ...intentOf(`d${at}`).input,
      caller: { org: 'uni' },
      purpose: { workflow: 'w', use_case: 'u' },
      request: { endpoint: 'chat.completions' },
      content: { signals: {} },
    });
    const record = async (at: number, answer: string, over: Partial<AuditOutcome> = {}): Promise<void> => {
      const { mirror_of } = over;
      const mirrored = mirror_of === undefined ? {} : { mirror_of };
      await log.append({ ...intentOf(`d${at}`), ...mirrored, input: input(at) }, prompt(`question ${at}`));
      await log.append(outcomeOf(`d${at}`, over), contentOf(JSON.stringify(chatCompletion(answer))));
    };
    await record(1, 'own');
    await record(2, 'alone');
    await record(3, 'the mirror’s', { mirror_of: 'd1', model: 'candidate' });
    await log.close();
    const filter = { organizations: new Set(['uni']), sinceMs: 0, untilMs: Number.POSITIVE_INFINITY };
    const mirrored = await drawRecorded([home], { ...filter, mirrored: true });
    expect(mirrored.tasks).toMatchObject([
      { id: 'd1', answer: 'own', mirror_answer: 'the mirror’s', mirror_model: 'candidate' },
    ]);
    expect([...mirrored.passedOver]).toEqual([['not mirrored', 1]]);
    const all = await drawRecorded([home], { ...filter, mirrored: false });
    expect(all.tasks.map(({ id }) => id)).toEqual(['d1', 'd2']);
  }));

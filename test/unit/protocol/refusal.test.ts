import { describe, expect, test } from '@jest/globals';
import { refusedIn, tellsRefusal } from '../../../gateway/protocol/refusal.ts';
import { chatCompletion, chatEvent, message, messageEvent } from '../../support/answers.ts';

describe('tellsRefusal', () => {
  const refusals: Record<string, unknown> = {
    'a chat completion with a refusal text': {
      choices: [{ message: { content: null, refusal: 'I cannot help.' }, finish_reason: 'stop' }],
    },
    'a chat completion that a filter ended': { choices: [{ message: {}, finish_reason: 'content_filter' }] },
    'a chunk with a piece of a refusal': { choices: [{ delta: { refusal: 'I' }, finish_reason: null }] },
    'a response with a refusal part': {
      output: [{ type: 'message', content: [{ type: 'refusal', refusal: 'No.' }] }],
    },
    'a response that a filter cut off': { output: [], incomplete_details: { reason: 'content_filter' } },
    'the last event of a response': {
      type: 'response.completed',
      response: { output: [{ content: [{ type: 'refusal', refusal: 'No.' }] }] },
    },
    'a part that begins in a stream of responses': {
      type: 'response.content_part.added',
      part: { type: 'refusal', refusal: '' },
    },
    'a message that stops so': { ...message(''), stop_reason: 'refusal' },
    'a message_delta that stops so': { type: 'message_delta', delta: { stop_reason: 'refusal' } },
    'the error of a filter on prompts': { error: { code: 'content_filter', message: '' } },
  };
  test.each(Object.keys(refusals))('%s', (name) => {
    expect(tellsRefusal(refusals[name])).toBe(true);
  });

  const answers: Record<string, unknown> = {
    'a chat completion with refusal null': chatCompletion('Hello.'),
    'an empty refusal': { choices: [{ message: { content: 'Hi', refusal: '' }, finish_reason: 'stop' }] },
    'a message': message('Hello.'),
    'a response cut off by its length': { output: [], incomplete_details: { reason: 'max_output_tokens' } },
    'another error': { error: { code: 'rate_limit_exceeded' } },
    nothing: null,
    text: 'refusal',
  };
  test.each(Object.keys(answers))('not %s', (name) => {
    expect(tellsRefusal(answers[name])).toBe(false);
  });
});

describe('refusedIn', () => {
  test('finds a refusal among other events', () => {
    const events = [
      messageEvent({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Well' } }),
      messageEvent({ type: 'message_delta', delta: { stop_reason: 'refusal' }, usage: { output_tokens: 1 } }),
    ];
    expect(refusedIn(Buffer.from(events.join('')))).toBe(true);
  });

  test('takes a text that talks of it for no refusal, nor the results of a filter that found nothing', () => {
    const text = '"refusal", "finish_reason": "content_filter"';
    const said = chatEvent({ choices: [{ delta: { content: text, refusal: null }, finish_reason: null }] });
    const filtered = chatEvent({ choices: [{ delta: {}, content_filter_results: { hate: { filtered: false } } }] });
    expect(refusedIn(Buffer.from(said + filtered))).toBe(false);
  });
});

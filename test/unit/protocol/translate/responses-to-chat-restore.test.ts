import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { protocolOf } from '../../../../gateway/protocol/protocols.ts';
import { responsesToChat } from '../../../../gateway/protocol/translate/responses-to-chat.ts';
import { createStreamTranslation } from '../../../../gateway/protocol/translate-stream.ts';
import { createVaults } from '../../../../gateway/redact/vault.ts';
import { createStreamRestore } from '../../../../gateway/stages/restore.ts';

const RESPONSES = protocolOf('responses');
const TOOLS = [
  { type: 'custom', name: 'note' },
  { type: 'function', name: 'f', parameters: {}, strict: false },
];
const BODY = { model: 'm', input: 'Hi', tools: TOOLS };
const CONTEXT = { body: BODY, id: '0a1b2c', created: 1, includeUsage: true };
const VALUE = 'jane "j" doe@example.com';

const vault = createVaults(randomBytes(32))('scope');
const placeholder = vault.replace(VALUE, 'email', {
  entity: 'email',
  action: 'tokenize',
  in: ['request'],
  restore: ['text', 'tool_arguments'],
});

const bytesOf = (deltas: readonly Json[]): Buffer =>
  Buffer.from(deltas.map((delta) => `data: ${JSON.stringify({ choices: [{ index: 0, delta }] })}\n\n`).join(''));

/** What a caller gets of a stream whose texts had personal data in them. */
const received = (deltas: readonly Json[]): Json[] => {
  const translation = createStreamTranslation(responsesToChat, RESPONSES, CONTEXT);
  const restore = createStreamRestore(RESPONSES, vault);
  const out = [restore.push(translation.push(bytesOf(deltas)))];
  const last = translation.finish(Buffer.from('data: [DONE]\n\n'));
  out.push(restore.flush(), restore.push(last));
  return Buffer.concat(out)
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)) as Json);
};

const joined = (events: readonly Json[], type: string): string =>
  events
    .filter((event) => event.type === type)
    .map(({ delta }) => delta)
    .join('');

describe('placeholders in a translated stream', () => {
  const text = `Write to ${placeholder} today`;
  const cuts = Array.from({ length: placeholder.length + 1 }, (_, index) => 'Write to '.length + index);

  test.each(cuts)('are restored in texts, reasoning and calls, cut at %i', (cut) => {
    const restored = `Write to ${VALUE} today`;
    const call = (index: number, name: string, member: string): Json[] => {
      const args = JSON.stringify({ [member]: text });
      const at = cut + args.indexOf('Write');
      return [
        { tool_calls: [{ index, id: `c${index}`, function: { name, arguments: args.slice(0, at) } }] },
        { tool_calls: [{ index, function: { arguments: args.slice(at) } }] },
      ];
    };
    const events = received([
      { reasoning_content: text.slice(0, cut) },
      { reasoning_content: text.slice(cut) },
      { content: text.slice(0, cut) },
      { content: text.slice(cut) },
      ...call(0, 'f', 'x'),
      ...call(1, 'note', 'input'),
    ]);
    expect(joined(events, 'response.reasoning_summary_text.delta')).toBe(restored);
    expect(joined(events, 'response.output_text.delta')).toBe(restored);
    expect(JSON.parse(joined(events, 'response.function_call_arguments.delta'))).toEqual({ x: restored });
    expect(joined(events, 'response.custom_tool_call_input.delta')).toBe(restored);
    const output = [
      { type: 'reasoning', summary: [{ text: restored }] },
      { type: 'message', content: [{ text: restored }] },
      { type: 'function_call', arguments: JSON.stringify({ x: restored }) },
      { type: 'custom_tool_call', input: restored },
    ];
    expect((events.at(-1)!.response as Json).output).toMatchObject(output);
    const done = events.filter(({ type }) => type === 'response.output_item.done').map(({ item }) => item);
    expect(done).toMatchObject(output);
  });
});

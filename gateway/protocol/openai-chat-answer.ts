import { isObject, type Json } from './fields.ts';
import type { AnswerEvents, AnswerText } from './protocol.ts';

/** A string member of an object as a text that can be changed in place. */
export const memberText = (
  holder: Json,
  key: string,
  channel: string,
  place: AnswerText['place'],
  json = false,
): AnswerText => ({
  channel,
  place,
  json,
  value: holder[key] as string,
  set(value) {
    holder[key] = value;
  },
});

/** The `index` of a choice or a tool call; its place in the list where there is none. */
export const indexOf = (item: Json, order: number): number =>
  Number.isSafeInteger(item.index) ? (item.index as number) : order;

/** Texts of a message or a delta. Reasoning here is unsigned, so it is restored like any text. */
const TEXT_KEYS = ['content', 'refusal', 'reasoning_content', 'reasoning'] as const;

/** The texts of the choices of an answer (`message`) or of a stream event (`delta`). */
const choiceTexts = (event: unknown, member: 'message' | 'delta'): AnswerText[] => {
  const texts: AnswerText[] = [];
  if (!isObject(event) || !Array.isArray(event.choices)) return texts;
  event.choices.forEach((choice: unknown, order: number) => {
    const holder = isObject(choice) ? choice[member] : undefined;
    if (!isObject(choice) || !isObject(holder)) return;
    const prefix = `choice ${indexOf(choice, order)}`;
    for (const key of TEXT_KEYS) {
      const value = holder[key];
      if (typeof value === 'string') texts.push(memberText(holder, key, `${prefix} ${key}`, 'text'));
      else if (Array.isArray(value)) partTexts(texts, value, `${prefix} ${key}`);
    }
    if (isObject(holder.function_call) && typeof holder.function_call.arguments === 'string') {
      texts.push(memberText(holder.function_call, 'arguments', `${prefix} function_call`, 'tool_arguments', true));
    }
    if (Array.isArray(holder.tool_calls)) callTexts(texts, holder.tool_calls, prefix);
  });
  return texts;
};

/** Mistral's content parts: text, and thinking that holds text parts. All pieces of a kind are one text. */
const partTexts = (texts: AnswerText[], parts: unknown[], channel: string): void => {
  for (const part of parts) {
    if (!isObject(part)) continue;
    if (typeof part.text === 'string') texts.push(memberText(part, 'text', `${channel} parts`, 'text'));
    if (Array.isArray(part.thinking)) partTexts(texts, part.thinking, `${channel} thinking`);
  }
};

const callTexts = (texts: AnswerText[], calls: unknown[], prefix: string): void => {
  calls.forEach((call: unknown, order: number) => {
    if (!isObject(call)) return;
    const index = indexOf(call, order);
    if (isObject(call.function) && typeof call.function.arguments === 'string') {
      texts.push(memberText(call.function, 'arguments', `${prefix} tool ${index}`, 'tool_arguments', true));
    }
    if (isObject(call.custom) && typeof call.custom.input === 'string') {
      texts.push(memberText(call.custom, 'input', `${prefix} custom ${index}`, 'tool_arguments'));
    }
  });
};

/** The texts of an unstreamed answer. Each is whole, so that parts of one message are texts of their own. */
export const openaiAnswerTexts = (body: unknown): AnswerText[] => choiceTexts(body, 'message');

/** A reader of a chat completions stream. A choice's texts end with its finish_reason. */
export const openaiAnswerEvents = (): AnswerEvents =>
  choiceEvents(
    'chat.completion.chunk',
    (event) => choiceTexts(event, 'delta'),
    (channel, text) => ({ delta: deltaOf(channel, text) }),
  );

/**
 * A reader of a stream whose events have `choices`, of which each ends its texts with a finish_reason. The first two
 * words of a channel are `choice` and its index; `write` gives what carries a text in one.
 */
export const choiceEvents = (
  object: string,
  read: (event: unknown) => AnswerText[],
  write: (channel: string, text: string) => Json,
): AnswerEvents => {
  const open = new Set<string>();
  let envelope: Json = { object, created: 0, id: '', model: '' };
  return {
    read(event) {
      const pieces = read(event);
      for (const { channel } of pieces) open.add(channel);
      const ended: string[] = [];
      if (isObject(event) && Array.isArray(event.choices)) {
        if (typeof event.id === 'string') {
          envelope = { id: event.id, object: event.object, created: event.created, model: event.model };
        }
        for (const [order, choice] of event.choices.entries()) {
          if (!isObject(choice) || typeof choice.finish_reason !== 'string') continue;
          const prefix = `choice ${indexOf(choice, order)} `;
          for (const channel of open) if (channel.startsWith(prefix)) ended.push(channel);
        }
      }
      for (const channel of ended) open.delete(channel);
      return { pieces, ended };
    },
    open: () => [...open],
    write: (channel, text) => {
      const choice = { index: Number(channel.split(' ', 2)[1]), ...write(channel, text), finish_reason: null };
      return `data: ${JSON.stringify({ ...envelope, choices: [choice] })}\n\n`;
    },
  };
};

/** The delta that carries `text` in a channel made by choiceTexts. */
const deltaOf = (channel: string, text: string): Json => {
  const [, , kind, detail] = channel.split(' ') as [string, string, string, string?];
  switch (kind) {
    case 'tool':
      return { tool_calls: [{ index: Number(detail), function: { arguments: text } }] };
    case 'custom':
      return { tool_calls: [{ index: Number(detail), custom: { input: text } }] };
    case 'function_call':
      return { function_call: { arguments: text } };
    default:
      if (detail === 'parts') return { [kind]: [{ type: 'text', text }] };
      if (detail === 'thinking') return { [kind]: [{ type: 'thinking', thinking: [{ type: 'text', text }] }] };
      return { [kind]: text };
  }
};

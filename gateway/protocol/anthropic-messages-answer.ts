import { isObject, type Json } from './fields.ts';
import { memberText } from './openai-chat-answer.ts';
import type { AnswerEvents, AnswerText } from './protocol.ts';

/**
 * The texts of an unstreamed answer: text blocks, and the strings in the input of tool calls. Thinking is signed and
 * stays as it came; results of the provider's own tools are not the model's words.
 */
export const anthropicAnswerTexts = (body: unknown): AnswerText[] => {
  const texts: AnswerText[] = [];
  if (!isObject(body) || !Array.isArray(body.content)) return texts;
  body.content.forEach((block: unknown, index: number) => {
    if (!isObject(block)) return;
    if (block.type === 'text' && typeof block.text === 'string') {
      texts.push(memberText(block, 'text', `block ${index} text`, 'text'));
    } else if (block.type === 'tool_use') leafTexts(texts, block, 'input', `block ${index} input`);
  });
  return texts;
};

/** The strings inside `holder[key]`, at any depth. */
export const leafTexts = (texts: AnswerText[], holder: Json, key: string, channel: string): void => {
  const value = holder[key];
  if (typeof value === 'string') texts.push(memberText(holder, key, channel, 'tool_arguments'));
  // An array is an object whose keys are its indexes.
  else if (typeof value === 'object' && value !== null) {
    for (const inner of Object.keys(value)) leafTexts(texts, value as Json, inner, `${channel}/${inner}`);
  }
};

/** A reader of a messages stream. A block's text ends with its content_block_stop. */
export const anthropicAnswerEvents = (): AnswerEvents => {
  const open = new Set<string>();
  const end = (channels: string[]): { pieces: AnswerText[]; ended: string[] } => {
    for (const channel of channels) open.delete(channel);
    return { pieces: [], ended: channels };
  };
  return {
    read(event) {
      if (!isObject(event)) return { pieces: [], ended: [] };
      switch (event.type) {
        case 'content_block_start':
        case 'content_block_delta': {
          const pieces = blockPieces(event);
          for (const { channel } of pieces) open.add(channel);
          const { delta } = event;
          return isObject(delta) && typeof delta.thinking === 'string'
            ? { pieces, ended: [], unchanged: delta.thinking }
            : { pieces, ended: [] };
        }
        case 'content_block_stop': {
          const prefix = `block ${event.index} `;
          return end([...open].filter((channel) => channel.startsWith(prefix)));
        }
        // A stream that starts a second message, or ends with blocks open, ends them.
        case 'message_start':
        case 'message_delta':
        case 'message_stop':
          return end([...open]);
        default:
          return { pieces: [], ended: [] };
      }
    },
    open: () => [...open],
    write(channel, text) {
      const [, index, kind] = channel.split(' ') as [string, string, string];
      const delta = kind === 'text' ? { type: 'text_delta', text } : { type: 'input_json_delta', partial_json: text };
      const event = { type: 'content_block_delta', index: Number(index), delta };
      return `event: content_block_delta\ndata: ${JSON.stringify(event)}\n\n`;
    },
  };
};

const blockPieces = (event: Json): AnswerText[] => {
  const index = Number.isSafeInteger(event.index) ? event.index : 0;
  const block = event.content_block;
  if (isObject(block)) {
    // A block may start with text; a tool's input starts empty.
    return block.type === 'text' && typeof block.text === 'string' && block.text !== ''
      ? [memberText(block, 'text', `block ${index} text`, 'text')]
      : [];
  }
  const { delta } = event;
  if (!isObject(delta)) return [];
  if (delta.type === 'text_delta' && typeof delta.text === 'string') {
    return [memberText(delta, 'text', `block ${index} text`, 'text')];
  }
  if (delta.type === 'input_json_delta' && typeof delta.partial_json === 'string') {
    return [memberText(delta, 'partial_json', `block ${index} input`, 'tool_arguments', true)];
  }
  return [];
};

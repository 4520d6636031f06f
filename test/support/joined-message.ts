import type { Json } from '../../gateway/protocol/fields.ts';

/**
 * The message that the events of a messages stream tell, as it would come whole. Throws where they break the order that
 * Anthropic keeps: one block after the other, each begun and ended, and nothing behind the end.
 */
export const joinedMessage = (events: readonly Json[]): Json => {
  let message: Json | null = null;
  const content: Json[] = [];
  let open: { index: number; json: string } | null = null;
  let isOver = false;
  let hasDelta = false;
  for (const event of events) {
    if (isOver) throw new Error(`${String(event.type)} behind the end`);
    if (event.type === 'message_start') {
      if (message) throw new Error('a second message_start');
      message = { ...(event.message as Json) };
      continue;
    }
    if (!message) throw new Error(`${String(event.type)} before message_start`);
    switch (event.type) {
      case 'content_block_start':
        if (open || hasDelta) throw new Error('a block in a block, or behind message_delta');
        if (event.index !== content.length) throw new Error(`index ${String(event.index)} of ${content.length}`);
        open = { index: content.length, json: '' };
        content.push({ ...(event.content_block as Json) });
        break;
      case 'content_block_delta': {
        if (open?.index !== event.index) throw new Error(`a piece of block ${String(event.index)}, which is not open`);
        const delta = event.delta as Json;
        const block = content.at(-1)!;
        if (delta.type === 'input_json_delta') open!.json += delta.partial_json;
        else {
          const key = { text_delta: 'text', thinking_delta: 'thinking', signature_delta: 'signature' }[
            delta.type as 'text_delta'
          ];
          if (!(key in block)) throw new Error(`${String(delta.type)} in ${String(block.type)}`);
          block[key] = `${block[key]}${delta[key]}`;
        }
        break;
      }
      case 'content_block_stop': {
        if (open?.index !== event.index) throw new Error(`an end of block ${String(event.index)}, which is not open`);
        const block = content.at(-1)!;
        if (block.type === 'tool_use' && open!.json !== '') block.input = JSON.parse(open!.json);
        open = null;
        break;
      }
      case 'message_delta':
        if (open || hasDelta) throw new Error('message_delta in a block, or again');
        hasDelta = true;
        message = {
          ...message,
          ...(event.delta as Json),
          usage: { ...(message.usage as Json), ...(event.usage as Json) },
        };
        break;
      case 'message_stop':
        if (!hasDelta) throw new Error('message_stop before message_delta');
        isOver = true;
        break;
      default:
        throw new Error(`unknown event ${String(event.type)}`);
    }
  }
  if (!isOver) throw new Error('no message_stop');
  return { ...message, content };
};

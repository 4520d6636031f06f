import { parsedEvents } from '../protocol/stream-events.ts';

/**
 * The text of an answer as the audit keeps it: a chat completion or a message, whole or streamed. Undefined for what is
 * neither, or has no text.
 */
export const recordedAnswerText = (content: Buffer): string | undefined => {
  let pieces: unknown[];
  try {
    pieces = [wholeText(JSON.parse(content.toString('utf8')))];
  } catch {
    try {
      pieces = parsedEvents(content).map(deltaText);
    } catch {
      return undefined;
    }
  }
  const text = pieces.filter((piece) => typeof piece === 'string').join('');
  return text === '' ? undefined : text;
};

interface Answer {
  choices?: { message?: { content?: unknown }; delta?: { content?: unknown } }[];
  content?: unknown;
  type?: unknown;
  delta?: { type?: unknown; text?: unknown };
}

const wholeText = (value: unknown): string | undefined => {
  const answer = (value ?? {}) as Answer;
  return textOf(answer.choices?.[0]?.message?.content ?? (answer.type === 'message' ? answer.content : undefined));
};

const deltaText = (value: unknown): string | undefined => {
  const event = (value ?? {}) as Answer;
  if (event.type === 'content_block_delta') {
    return event.delta?.type === 'text_delta' ? textOf(event.delta.text) : undefined;
  }
  return textOf(event.choices?.[0]?.delta?.content);
};

const textOf = (content: unknown): string | undefined => {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return undefined;
  const texts = content.flatMap((part: { type?: unknown; text?: unknown } | null) =>
    part?.type === 'text' && typeof part.text === 'string' ? [part.text] : [],
  );
  return texts.length > 0 ? texts.join('') : undefined;
};

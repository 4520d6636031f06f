import { isObject, type Json } from '../../gateway/protocol/fields.ts';
import type { Protocol } from '../../gateway/protocol/protocol.ts';
import type { Translation, TranslationContext } from '../../gateway/protocol/translation.ts';

/** Streams that one file of recorded events holds, one after the other: a new one begins behind a `message_stop`. */
export const streamsOf = (events: readonly Json[]): Json[][] => {
  const streams: Json[][] = [[]];
  for (const event of events) {
    if (streams.at(-1)!.at(-1)?.type === 'message_stop') streams.push([]);
    streams.at(-1)!.push(event);
  }
  return streams;
};

/** The caller's events for a whole stream of the upstream. */
export const translatedEvents = (
  translation: Translation,
  events: readonly Json[],
  context: TranslationContext,
): Json[] => {
  const reader = translation.events(context);
  return [...events.flatMap((event) => reader.push(event)), ...reader.end()];
};

/** Events as they go over the wire, with what ends a stream. */
export const wireText = (protocol: Protocol, events: readonly Json[]): string =>
  events.map((event) => protocol.eventText(event)).join('') + protocol.terminal;

/** A `fetch` that answers everything with one body. */
export const fetchOf =
  (body: string, contentType: string): typeof fetch =>
  async () =>
    new Response(body, { status: 200, headers: { 'content-type': contentType } });

/** What chunks of a chat completion say together, with the pieces of text, reasoning and arguments joined. */
export const joinedChunks = (chunks: readonly Json[]): Json => {
  const message: Json = {};
  const calls: Json[] = [];
  let finish: unknown = null;
  let usage: unknown;
  for (const chunk of chunks) {
    if (isObject(chunk.usage)) usage = chunk.usage;
    for (const choice of chunk.choices as { delta: Json; finish_reason: unknown }[]) {
      finish = choice.finish_reason ?? finish;
      for (const [key, value] of Object.entries(choice.delta)) {
        if (key === 'tool_calls') for (const call of value as Json[]) joinCall(calls, call);
        else if (key === 'role') message.role = value;
        else if (typeof value === 'string') message[key] = ((message[key] as string | null) ?? '') + value;
        else if (isObject(value)) message[key] = joinCallText((message[key] as Json | undefined) ?? {}, value);
        else if (value !== null) message[key] = value;
      }
    }
  }
  if (calls.length > 0) message.tool_calls = calls;
  return { message, finish_reason: finish, usage };
};

const joinCall = (calls: Json[], piece: Json): void => {
  const { index, ...rest } = piece;
  const call = calls[index as number] ?? {};
  calls[index as number] = call;
  for (const [key, value] of Object.entries(rest)) {
    call[key] = isObject(value) ? joinCallText((call[key] as Json | undefined) ?? {}, value) : value;
  }
};

const joinCallText = (into: Json, piece: Json): Json => {
  const joined = { ...into };
  for (const [key, value] of Object.entries(piece)) joined[key] = ((joined[key] as string | undefined) ?? '') + value;
  return joined;
};

import type { AnswerText, Protocol } from '../protocol/protocol.ts';
import { eventData, splitEvents } from '../protocol/sse.ts';
import type { TextRestorer, Vault } from '../redact/redactor.ts';

/** A value in a JSON text stands inside a string: escaped, it cannot end it and add members of its own. */
const escapeJson = (value: string): string => JSON.stringify(value).slice(1, -1);

const encodingOf = (text: AnswerText): ((value: string) => string) | undefined => (text.json ? escapeJson : undefined);

/** Restores the texts of an unstreamed, parsed answer in place. Gives whether anything changed. */
export const restoreAnswer = (protocol: Protocol, body: unknown, vault: Vault): boolean => {
  let changed = false;
  for (const text of protocol.answerTexts(body)) {
    const restored = vault.restore(text.value, text.place, encodingOf(text));
    if (restored === text.value) continue;
    text.set(restored);
    changed = true;
  }
  return changed;
};

/** Restores a stream: whole events in, whole events out. */
export interface StreamRestore {
  push(events: Buffer): Buffer;
  /** What is still held back, as events to be written before the terminal one. */
  flush(): Buffer;
}

/**
 * Opens the restoring of one stream. An event without a placeholder passes byte for byte; a text that could be the
 * start of one is held back until it is told apart, and what is left of it is written before its text ends.
 */
export const createStreamRestore = (protocol: Protocol, vault: Vault): StreamRestore => {
  const events = protocol.answerEvents();
  const restorers = new Map<string, TextRestorer>();
  const restorerOf = (text: AnswerText): TextRestorer => {
    let restorer = restorers.get(text.channel);
    if (!restorer) {
      restorer = vault.restorer(text.place, encodingOf(text));
      restorers.set(text.channel, restorer);
    }
    return restorer;
  };
  const end = (channel: string): string => {
    const rest = restorers.get(channel)?.flush() ?? '';
    restorers.delete(channel);
    return rest;
  };

  const restoreEvent = (bytes: Buffer): Buffer | string => {
    const { event: name, data } = eventData(bytes);
    const event = data === null ? undefined : parse(data);
    if (event === undefined) return bytes;
    const { pieces, ended } = events.read(event);
    let before = '';
    let changed = false;
    const ending = new Set(ended);
    for (const piece of pieces) {
      let restored = restorerOf(piece).push(piece.value);
      if (ending.delete(piece.channel)) restored += end(piece.channel);
      if (restored === piece.value) continue;
      piece.set(restored);
      changed = true;
    }
    for (const channel of ending) {
      const rest = end(channel);
      if (rest !== '') before += events.write(channel, rest);
    }
    if (!changed) return before === '' ? bytes : Buffer.concat([Buffer.from(before), bytes]);
    return `${before}${name === null ? '' : `event: ${name}\n`}data: ${JSON.stringify(event)}\n\n`;
  };

  return {
    push(whole) {
      const out: Buffer[] = [];
      for (const bytes of splitEvents(whole)) {
        const restored = restoreEvent(bytes);
        out.push(typeof restored === 'string' ? Buffer.from(restored) : restored);
      }
      return out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out);
    },
    flush() {
      let rest = '';
      for (const channel of events.open()) {
        const text = end(channel);
        if (text !== '') rest += events.write(channel, text);
      }
      return Buffer.from(rest);
    },
  };
};

const parse = (data: string): unknown => {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
};

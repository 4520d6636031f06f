import { isObject } from './fields.ts';
import type { Protocol } from './protocol.ts';
import { eventData, splitEvents } from './sse.ts';
import type { Translation, TranslationContext } from './translation.ts';
import { parseEvent } from './usage-filter.ts';

/** Translates one stream: whole events of the upstream in, whole events of the caller out. */
export interface StreamTranslation {
  /** Comments, which keep connections alive, stay as they are. */
  push(events: Buffer): Buffer;
  /**
   * The upstream's terminal event and what came with it in, the caller's last events out, its terminal one included.
   */
  finish(events: Buffer): Buffer;
}

/** Opens the translation of one stream into the caller's wire format. */
export const createStreamTranslation = (
  translation: Translation,
  caller: Protocol,
  context: TranslationContext,
): StreamTranslation => {
  const events = translation.events(context);
  const push = (whole: Buffer): string => {
    let out = '';
    for (const bytes of splitEvents(whole)) {
      const { data } = eventData(bytes);
      if (data === null) {
        if (bytes[0] === COLON) out += bytes.toString('utf8');
        continue;
      }
      const event = parseEvent(data);
      if (!isObject(event)) continue;
      const before = out.length;
      for (const said of events.push(event)) out += caller.eventText(said);
      // Anthropic's way to keep a connection alive, said as a comment.
      if (event.type === 'ping' && out.length === before) out += ': ping\n\n';
    }
    return out;
  };
  return {
    push: (whole) => Buffer.from(push(whole)),
    finish(whole) {
      let out = push(whole);
      for (const said of events.end()) out += caller.eventText(said);
      return Buffer.from(out);
    },
  };
};

const COLON = 0x3a;

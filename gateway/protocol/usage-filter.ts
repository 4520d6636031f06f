import type { Protocol, ReportedUsage } from './protocol.ts';
import { eventData, splitEvents } from './sse.ts';

const USAGE = Buffer.from('"usage"');
/**
 * OpenAI's `stream_options.include_usage` puts this into every event but the last. A quote inside a string would be
 * escaped.
 */
const NO_USAGE = Buffer.from(',"usage":null');

/** Reads the provider's token count out of a stream on its way. */
export interface UsageFilter {
  /** Takes whole events and gives those the caller gets. */
  push(events: Buffer): Buffer;
  result(): ReportedUsage | null;
  /** How many events have told usage so far: as long as it stands still, so does the result. */
  readonly told: number;
}

/** Opens the filter of one stream. When the caller did not ask for usage, what only we asked for is taken out. */
export const createUsageFilter = (protocol: Protocol, isAsked: boolean): UsageFilter => {
  const usage = protocol.streamUsage();
  let told = 0;
  return {
    push(events) {
      if (!events.includes(USAGE)) return events;
      const rest = isAsked ? events : without(events, NO_USAGE);
      if (rest !== events && !rest.includes(USAGE)) return rest;
      const kept: Buffer[] = [];
      for (const bytes of splitEvents(rest)) {
        const { data } = bytes.includes(USAGE) ? eventData(bytes) : NO_DATA;
        if (data !== null) {
          usage.feed(data);
          told++;
        }
        if (data === null || isAsked || !protocol.isUsageOnly(parseEvent(data))) kept.push(bytes);
      }
      return kept.length === 1 ? (kept[0] as Buffer) : Buffer.concat(kept);
    },
    result: () => usage.result(),
    get told() {
      return told;
    },
  };
};

const NO_DATA = { data: null };

/** The JSON of an event's data; undefined when it is none. */
export const parseEvent = (data: string): unknown => {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
};

/** `bytes` less every occurrence of `needle`; the same buffer when there is none. */
const without = (bytes: Buffer, needle: Buffer): Buffer => {
  let at = bytes.indexOf(needle);
  if (at < 0) return bytes;
  const parts: Buffer[] = [];
  let from = 0;
  for (; at >= 0; at = bytes.indexOf(needle, from)) {
    parts.push(bytes.subarray(from, at));
    from = at + needle.length;
  }
  parts.push(bytes.subarray(from));
  return Buffer.concat(parts);
};

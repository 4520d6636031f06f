import { type ProviderError, providerErrorOf } from './provider-error.ts';
import { eventData, splitEvents } from './sse.ts';
import { parseEvent } from './usage-filter.ts';

const ERROR = Buffer.from('"error"');

/** Whether any of these events may tell of an error: one search of bytes. */
export const mayTellError = (events: Buffer): boolean => events.includes(ERROR);

/** The error that one of these events tells of, if any. */
export const errorIn = (events: Buffer): ProviderError | null => {
  if (!mayTellError(events)) return null;
  for (const event of parsedEvents(events)) {
    const error = providerErrorOf(event);
    if (error) return error;
  }
  return null;
};

/** The JSON of each of these events; undefined where it has none. */
export const parsedEvents = (events: Buffer): unknown[] =>
  splitEvents(events).map((bytes) => {
    const { data } = eventData(bytes);
    return data === null ? undefined : parseEvent(data);
  });

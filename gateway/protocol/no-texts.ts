import type { AnswerEvents, StreamUsage } from './protocol.ts';

/** A reader of answers that have no text to restore and are never streams. */
export const NO_TEXTS: AnswerEvents = {
  read: () => ({ pieces: [], ended: [] }),
  open: () => [],
  write: () => '',
};

/** A reader of the usage of streams that do not exist. */
export const NO_USAGE: StreamUsage = { feed() {}, result: () => null };

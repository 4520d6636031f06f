import type { Attempt } from './types.gen.ts';

/** The attempt that gave the answer; undefined where none did. */
export const answeredBy = (attempts: readonly Attempt[]): Attempt | undefined =>
  attempts.findLast(({ status, error }) => status !== null && error === null);

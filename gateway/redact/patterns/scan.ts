import type { Finding } from '../redactor.ts';

/**
 * Adds what it finds in a folded text (see fold.ts) to `found`, in any order; overlaps are settled by the detector.
 * A scan finds its anchor with a native search and walks outward inside a limit, so its work is linear in the text.
 */
export type Scan = (text: string, found: Finding[]) => void;

/** A value that a matcher recognised, as UTF-16 offsets. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

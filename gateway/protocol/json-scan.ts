/**
 * What one pass over a JSON text found. Positions are byte offsets into the text. Strings are kept as parallel arrays
 * because a body has thousands and an object each would cost more than the scan.
 */
export interface JsonScan {
  /** Number of strings, keys included, in the order of the text. */
  readonly count: number;
  /** First byte after the opening quote. */
  readonly starts: Int32Array;
  /** The closing quote. */
  readonly ends: Int32Array;
  /** Bit 1: has escapes. Bit 2: is a key. */
  readonly flags: Uint8Array;
  /** Members of the top-level object: the value's byte range, and the key's first quote. */
  readonly members: ReadonlyMap<string, JsonMember>;
  /** The top-level closing brace. */
  readonly end: number;
}

export interface JsonMember {
  readonly key: number;
  readonly start: number;
  readonly end: number;
}

export const ESCAPED = 1;
export const KEY = 2;

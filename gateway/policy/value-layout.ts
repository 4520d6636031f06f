/**
 * How values lie in a policy module's memory (OPA, wasm/src/value.h), byte offsets from the value:
 *
 * - each: u8 type. Boolean: u8 value at 1.
 * - number: u8 kind at 1; integer: i64 at 8; text: its address at 8, length at 12.
 * - string: length at 4, address of the text at 8.
 * - array: address of its elements at 4, length at 8, capacity at 12; an element is the address of its index as a number,
 *   then of the value.
 * - object and set: address of the buckets at 4, their count at 8, number of entries at 12. A bucket is the address of a
 *   chain of entries or 0; an entry is key, value and next, or value and next.
 *
 * A layout is no promise of the compiler, so each module proves at load that it has this one: see evaluator.ts.
 */
export const TYPE = {
  null: 1,
  boolean: 2,
  number: 3,
  string: 4,
  array: 5,
  object: 6,
  set: 7,
  internedString: 8,
  internedBoolean: 9,
} as const;

/** Kinds of numbers. */
export const KIND = { integer: 1, text: 2 } as const;

import { elementRanges, memberRanges, type Range, removals } from './json-ranges.ts';
import { type JsonScan, scanJson } from './json-scan.ts';
import type { Splice } from './protocol.ts';
import { renameMember } from './rename-member.ts';
import { replaceValue } from './set-member.ts';

/** An object inside a body, scanned on its own: what a body's scan does not keep is found again where it is needed. */
export interface Nested {
  readonly bytes: Buffer;
  readonly scan: JsonScan;
  /** Its first byte's offset in the body. */
  readonly at: number;
}

/** The object at `range` of what is nested in `outer`. */
export const nestedAt = (outer: Nested, range: Range): Nested => {
  const bytes = outer.bytes.subarray(range.start, range.end);
  return { bytes, scan: scanJson(bytes), at: outer.at + range.start };
};

/** The object that is the member `name`. Throws TypeError where there is none. */
export const memberOf = (outer: Nested, name: string): Nested => nestedAt(outer, rangeOf(outer, name));

/** The elements of the array that is the member `name`. Throws TypeError where there is none. */
export const elementsOf = (outer: Nested, name: string): Range[] =>
  elementRanges(outer.bytes, outer.scan, rangeOf(outer, name));

const rangeOf = ({ scan }: Nested, name: string): Range & { readonly key: number } => {
  const member = scan.members.get(name);
  if (!member) throw new TypeError(`there is no ${name}`);
  return member;
};

/** The splice that replaces the value of the member `name`. */
export const replaced = (nested: Nested, name: string, text: string): Splice => {
  const splice = replaceValue(nested.bytes, rangeOf(nested, name), text);
  return { start: nested.at + splice.start, end: nested.at + splice.end, text: splice.text };
};

/** The splice that gives the member `name` another key. */
export const renamed = (nested: Nested, name: string, to: string): Splice => {
  const { start, end, text } = renameMember(nested.scan, rangeOf(nested, name), to);
  return { start: nested.at + start, end: nested.at + end, text };
};

/** The splice that adds a last member to an object that is not empty. */
export const added = ({ scan, at }: Nested, name: string, text: string): Splice => ({
  start: at + scan.end,
  end: at + scan.end,
  text: `,${JSON.stringify(name)}:${text}`,
});

/**
 * The splices that put one of an object's values in the place of the object. The value itself is not copied, so that
 * what is masked in it stays masked.
 */
export const unwrapped = (nested: Nested, name: string): Splice[] => {
  const { start, end } = rangeOf(nested, name);
  const { at, bytes } = nested;
  return [
    { start: at, end: at + start, text: '' },
    { start: at + end, end: at + bytes.length, text: '' },
  ];
};

/** The splices that take the members `gone` out. */
export const without = (nested: Nested, gone: ReadonlySet<string>): Splice[] => {
  const names = [...nested.scan.members.keys()];
  return removals(memberRanges(nested.scan.members), (index) => gone.has(names[index]!)).map(
    ({ start, end, text }) => ({ start: nested.at + start, end: nested.at + end, text }),
  );
};

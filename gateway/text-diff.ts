/** A piece of two sequences: in both, only in the first, or only in the second. */
export interface DiffPart<T> {
  readonly kind: 'same' | 'removed' | 'added';
  readonly items: readonly T[];
}

/** Cells of the table of common subsequences: beyond it what differs is shown as one piece. */
const MAX_CELLS = 4_000_000;

/** The shortest way from one sequence to another by the longest common subsequence; `keyOf` tells which items are equal. */
export const diffItems = <T>(
  before: readonly T[],
  after: readonly T[],
  keyOf: (item: T) => unknown = (item) => item,
): DiffPart<T>[] => {
  const [a, b] = [before.map(keyOf), after.map(keyOf)];
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const parts: { kind: DiffPart<T>['kind']; items: T[] }[] = [];
  const add = (kind: DiffPart<T>['kind'], items: readonly T[]): void => {
    if (items.length === 0) return;
    const last = parts.at(-1);
    if (last?.kind === kind) last.items.push(...items);
    else parts.push({ kind, items: [...items] });
  };
  add('same', before.slice(0, start));
  const [rows, columns] = [a.length - end - start, b.length - end - start];
  if (rows * columns > MAX_CELLS) {
    add('removed', before.slice(start, a.length - end));
    add('added', after.slice(start, b.length - end));
  } else {
    const width = columns + 1;
    const longest = commonLengths(a.slice(start, start + rows), b.slice(start, start + columns));
    let [i, j] = [0, 0];
    while (i < rows || j < columns) {
      if (i < rows && j < columns && a[start + i] === b[start + j]) {
        add('same', [before[start + i++] as T]);
        j++;
      } else if (
        j === columns ||
        (i < rows && (longest[(i + 1) * width + j] ?? 0) >= (longest[i * width + j + 1] ?? 0))
      )
        add('removed', [before[start + i++] as T]);
      else add('added', [after[start + j++] as T]);
    }
  }
  add('same', before.slice(a.length - end));
  return parts;
};

/** By row and column, the length of the longest common subsequence of what is left from there on. */
const commonLengths = (a: readonly unknown[], b: readonly unknown[]): Uint16Array => {
  const width = b.length + 1;
  const table = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const [below, right] = [table[(i + 1) * width + j] as number, table[i * width + j + 1] as number];
      table[i * width + j] = a[i] === b[j] ? (table[(i + 1) * width + j + 1] as number) + 1 : Math.max(below, right);
    }
  }
  return table;
};

/** Characters of equal text that are shown on each side of a difference. */
const CONTEXT = 40;

/**
 * Two texts with what differs marked, by words: `[-only in the first-]` and `{+only in the second+}`. Long equal pieces are
 * shortened with `…`.
 */
export const markDifferences = (before: string, after: string): { before: string; after: string } => {
  const parts = diffItems(words(before), words(after));
  const show = (kind: 'removed' | 'added', open: string, close: string): string =>
    parts
      .map((part, index) => {
        const text = part.items.join('');
        if (part.kind === 'same') return shorten(text, index > 0, index < parts.length - 1);
        return part.kind === kind ? `${open}${text}${close}` : '';
      })
      .join('');
  return { before: show('removed', '[-', '-]'), after: show('added', '{+', '+}') };
};

const words = (text: string): string[] => text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];

/** Keeps what stands next to a difference: the end of a text before one, the beginning of a text after one. */
const shorten = (text: string, keepsStart: boolean, keepsEnd: boolean): string => {
  if (text.length <= 2 * CONTEXT + 1) return text;
  const start = keepsStart ? text.slice(0, CONTEXT) : '';
  const end = keepsEnd ? text.slice(-CONTEXT) : '';
  return `${start}…${end}`;
};

import { diffItems, markDifferences } from '../text-diff.ts';

/** A value that is not what it should be. */
export interface Pair {
  name: string;
  expected: unknown;
  actual: unknown;
}

/** A column holds this many characters; longer values are shown below each other. */
const COLUMN = 44;

/**
 * Values side by side: short ones in two columns, long texts below each other with what differs marked
 * (`[-expected-]`, `{+actual+}`), lists by the entries that were left out (-) or came in (+).
 */
export const sideBySide = (pairs: readonly Pair[], titles: readonly [string, string]): string[] => {
  const short = pairs.filter(({ expected, actual }) => isShort(expected) && isShort(actual));
  const long = pairs.filter((pair) => !short.includes(pair));
  const widths = [
    Math.max(16, ...short.map(({ name }) => name.length)),
    Math.max(titles[0].length, ...short.map(({ expected }) => show(expected).length)),
  ] as const;
  const row = (name: string, left: string, right: string): string =>
    `${name.padEnd(widths[0])}  ${left.padEnd(widths[1])}  ${right}`.trimEnd();
  return [
    ...(short.length === 0 ? [] : [row('', ...titles)]),
    ...short.map(({ name, expected, actual }) => row(name, show(expected), show(actual))),
    ...long.flatMap((pair) => [pair.name, ...longPair(pair, titles).map((line) => `  ${line}`)]),
  ];
};

const isShort = (value: unknown): boolean => {
  const text = show(value);
  return text.length <= COLUMN && !text.includes('\n');
};

const longPair = ({ expected, actual }: Pair, titles: readonly [string, string]): string[] => {
  if (Array.isArray(expected) && Array.isArray(actual)) return listPair(expected, actual);
  if (typeof expected === 'string' && typeof actual === 'string') return textPair(expected, actual, titles);
  if (isTable(expected) && isTable(actual)) return listPair(entriesOf(expected), entriesOf(actual));
  const width = Math.max(titles[0].length, titles[1].length);
  return [...block(titles[0].padEnd(width), show(expected)), ...block(titles[1].padEnd(width), show(actual))];
};

const textPair = (expected: string, actual: string, titles: readonly [string, string]): string[] => {
  const width = Math.max(titles[0].length, titles[1].length);
  // A piece that a long text does not hold is no version of it.
  const marked =
    expected.length * 4 < actual.length ? { before: expected, after: actual } : markDifferences(expected, actual);
  return [...block(titles[0].padEnd(width), marked.before), ...block(titles[1].padEnd(width), marked.after)];
};

const block = (title: string, text: string): string[] => {
  const [first = '', ...rest] = text.split('\n');
  return [`${title}  ${first}`, ...rest.map((line) => `${' '.repeat(title.length)}  ${line}`)];
};

/** One entry in the place of one: as texts that differ; others as left out and come in. */
const listPair = (expected: readonly unknown[], actual: readonly unknown[]): string[] => {
  const lines: string[] = [];
  const parts = diffItems(expected, actual, (item) => JSON.stringify(item));
  for (const [index, { kind, items }] of parts.entries()) {
    const next = parts[index + 1];
    const previous = parts[index - 1];
    if (kind === 'same') lines.push(...items.map((item) => `  ${show(item)}`));
    else if (kind === 'removed' && next?.kind === 'added' && next.items.length === items.length) {
      for (const [n, item] of items.entries()) lines.push(...changedEntry(show(item), show(next.items[n])));
    } else if (kind === 'removed') lines.push(...items.map((item) => `- ${show(item)}`));
    else if (!(previous?.kind === 'removed' && previous.items.length === items.length))
      lines.push(...items.map((item) => `+ ${show(item)}`));
  }
  return lines;
};

const changedEntry = (expected: string, actual: string): string[] => {
  const { before, after } = markDifferences(expected, actual);
  return [...block('-', before), ...block('+', after)].map((line) => line.replace(/^([-+ ]) {2}/, '$1 '));
};

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const entriesOf = (table: Record<string, unknown>): string[] =>
  Object.entries(table)
    .map(([name, value]) => `${name}: ${show(value)}`)
    .sort();

const show = (value: unknown): string => {
  if (typeof value === 'string') return value;
  if (value === undefined) return 'nothing';
  return JSON.stringify(value) ?? String(value);
};

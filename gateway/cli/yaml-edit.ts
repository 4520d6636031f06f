import { type Document, isCollection, isMap, isNode, isScalar, isSeq, type Node, type Pair, stringify } from 'yaml';
import { type DiffPart, diffItems } from '../text-diff.ts';
import {
  BLOCK,
  endOf,
  fieldText,
  flow,
  hasComments,
  hasName,
  isMultiline,
  isTable,
  lineEnd,
  lineStart,
  pad,
  plainOf,
  rangeOf,
  span,
  trimmedEnd,
} from './yaml-text.ts';

/** A piece of a text that gets another one. */
export interface TextEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The text with its edits, which do not overlap. */
export const applyEdits = (text: string, edits: readonly TextEdit[]): string =>
  [...edits]
    .sort((a, b) => b.start - a.start || b.end - a.end)
    .reduce((result, edit) => result.slice(0, edit.start) + edit.text + result.slice(edit.end), text);

/**
 * The edits after which a YAML document has `value` at `path`, where it has a value now. Everything else stays as it is
 * written, and of lists and maps also the entries that stay. Undefined when that cannot be said: at an anchor or alias, and
 * where comments stand inside of a flow collection that gets longer or shorter.
 */
export const setValue = (
  text: string,
  document: Document,
  path: readonly string[],
  value: unknown,
): TextEdit[] | undefined => {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (!isMap(parent)) return undefined;
  const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === path.at(-1));
  return pair === undefined ? undefined : editPair(text, pair, value, parent.flow === true);
};

/** Puts a field at the end of a document's map, or in the place of the one that says nothing. As `setValue`. */
export const addValue = (text: string, document: Document, name: string, value: unknown): TextEdit[] | undefined => {
  const root = document.contents;
  if (!isMap(root) || root.flow || root.items.length === 0) return undefined;
  const written = fieldText(name, value);
  const present = root.items.find((item) => isScalar(item.key) && item.key.value === name);
  if (present !== undefined) {
    const key = present.key as Node;
    const colon = text.indexOf(':', rangeOf(key)[1]) + 1;
    const end = isNode(present.value) ? Math.max(colon, rangeOf(present.value)[1]) : colon;
    return [{ start: rangeOf(key)[0], end, text: written }];
  }
  const last = root.items.at(-1) as Pair;
  const end = lineEnd(text, endOf(last));
  return [{ start: end, end, text: `\n${written}` }];
};

const editPair = (text: string, pair: Pair, value: unknown, isInFlow: boolean): TextEdit[] | undefined => {
  const { key, value: node } = pair;
  if (!isNode(key) || !isNode(node) || hasName(node)) return undefined;
  const inside = editInside(text, node, value);
  if (inside !== 'whole') return inside;
  if (isCollection(node) && hasComments(text, node)) return undefined;
  const start = rangeOf(key)[0];
  if (isScalar(node) && (isInFlow || !/\n/.test(text.slice(...span(node)))) && (isInFlow || !isMultiline(value))) {
    return [{ start: rangeOf(node)[0], end: rangeOf(node)[1], text: flow(value, text, node) }];
  }
  if (isCollection(node) && node.flow) {
    return [{ start: rangeOf(node)[0], end: rangeOf(node)[1], text: flow(value, text, node) }];
  }
  const column = start - lineStart(text, start);
  const name = text.slice(...span(key));
  const lines = stringify({ x: value }, BLOCK).trimEnd().split('\n');
  const written = [`${name}${(lines[0] as string).slice(1)}`, ...lines.slice(1).map((line) => pad(line, column))].join(
    '\n',
  );
  return [{ start, end: trimmedEnd(text, node), text: written }];
};

/** Edits of the entries of a collection; `whole` when the value is to be written anew. */
const editInside = (text: string, node: Node, value: unknown): TextEdit[] | undefined | 'whole' => {
  if (isSeq(node) && Array.isArray(value) && value.length > 0 && node.items.length > 0) {
    if (!node.flow) return editList(text, node.items as Node[], value);
    return node.items.length === value.length ? editEach(text, node.items, value) : 'whole';
  }
  if (isMap(node) && isTable(value) && node.items.length > 0 && Object.keys(value).length > 0) {
    const names = node.items.map(({ key }) => String(isScalar(key) ? key.value : key));
    const isSame = names.length === Object.keys(value).length && names.every((name) => Object.hasOwn(value, name));
    if (isSame)
      return together(
        node.items.map((pair, index) =>
          unlessEqual(pair.value, value[names[index] as string], () =>
            editPair(text, pair, value[names[index] as string], node.flow === true),
          ),
        ),
      );
    return node.flow ? 'whole' : editMap(text, node.items, names, value);
  }
  return 'whole';
};

const editEach = (text: string, items: readonly unknown[], values: readonly unknown[]): TextEdit[] | undefined =>
  together(items.map((item, index) => unlessEqual(item, values[index], () => editItem(text, item, values[index]))));

const editItem = (text: string, item: unknown, value: unknown): TextEdit[] | undefined => {
  if (!isNode(item) || hasName(item)) return undefined;
  const inside = editInside(text, item, value);
  if (inside !== 'whole') return inside;
  if (isCollection(item) && hasComments(text, item)) return undefined;
  return [{ start: rangeOf(item)[0], end: trimmedEnd(text, item), text: flow(value, text, item) }];
};

/**
 * A block list, an entry a line or more: entries that stay keep their lines, and the comments between them. As many new
 * entries as old ones in one place are those, changed.
 */
const editList = (text: string, items: readonly Node[], values: readonly unknown[]): TextEdit[] | undefined => {
  const first = items[0] as Node;
  const dash = text.lastIndexOf('-', rangeOf(first)[0]);
  const indent = ' '.repeat(dash - lineStart(text, dash));
  const edits: (TextEdit[] | undefined)[] = [];
  const parts = diffItems<unknown>(items.map(plainOf), values, (item) => JSON.stringify(item));
  let at = 0;
  let place = lineStart(text, dash);
  for (const [index, { kind, items: part }] of parts.entries()) {
    const isChange = (other: DiffPart<unknown> | undefined): boolean =>
      other !== undefined && other.kind !== 'same' && kind !== 'same' && other.items.length === part.length;
    if (kind === 'added') {
      if (isChange(parts[index - 1])) continue;
      const lines = part.map((item) => `${indent}- ${flow(item, text, first)}\n`).join('');
      edits.push([{ start: place, end: place, text: place > 0 && text[place - 1] !== '\n' ? `\n${lines}` : lines }]);
      continue;
    }
    const next = isChange(parts[index + 1]) ? parts[index + 1] : undefined;
    for (const [n, item] of items.slice(at, at + part.length).entries()) {
      const start = lineStart(text, text.lastIndexOf('-', rangeOf(item)[0]));
      place = Math.min(text.length, lineEnd(text, trimmedEnd(text, item)) + 1);
      if (next !== undefined) edits.push(editItem(text, item, next.items[n]));
      else if (kind === 'removed') edits.push([{ start, end: place, text: '' }]);
    }
    at += part.length;
  }
  return together(edits);
};

/** A block map: entries that stay keep their lines; new ones come last. */
const editMap = (
  text: string,
  pairs: readonly Pair[],
  names: readonly string[],
  value: Readonly<Record<string, unknown>>,
): TextEdit[] | undefined => {
  const start = rangeOf((pairs[0] as Pair).key as Node)[0];
  const column = start - lineStart(text, start);
  const kept = pairs.map((pair, index): TextEdit[] | undefined => {
    const name = names[index] as string;
    if (Object.hasOwn(value, name))
      return unlessEqual(pair.value, value[name], () => editPair(text, pair, value[name], false));
    const from = lineStart(text, rangeOf(pair.key as Node)[0]);
    return [{ start: from, end: Math.min(text.length, lineEnd(text, endOf(pair)) + 1), text: '' }];
  });
  const added = Object.entries(value).filter(([name]) => !names.includes(name));
  const lines = added.flatMap(([name, item]) =>
    stringify({ [name]: item }, BLOCK)
      .trimEnd()
      .split('\n'),
  );
  const end = lineEnd(text, endOf(pairs.at(-1) as Pair));
  const addition = { start: end, end, text: lines.map((line) => `\n${pad(line, column)}`).join('') };
  return together([...kept, added.length === 0 ? [] : [addition]]);
};

const together = (edits: readonly (TextEdit[] | undefined)[]): TextEdit[] | undefined =>
  edits.some((edit) => edit === undefined) ? undefined : edits.flatMap((edit) => edit ?? []);

const unlessEqual = (node: unknown, value: unknown, edit: () => TextEdit[] | undefined): TextEdit[] | undefined =>
  JSON.stringify(plainOf(node)) === JSON.stringify(value) ? [] : edit();

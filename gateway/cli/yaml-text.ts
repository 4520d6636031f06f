import { Document, isAlias, isCollection, isNode, isScalar, type Node, type Pair, visit } from 'yaml';

/** How block text is written: no line is folded. */
export const BLOCK = { lineWidth: 0 } as const;
/** Lists up to this many characters stand in one line. */
const FLOW_LENGTH = 100;

/** A field as people write it: lists of words in one line, texts a line each. */
export const fieldText = (name: string, value: unknown): string => {
  const document = new Document({ [name]: value });
  visit(document, {
    Seq: (_, node) => {
      const isShort = JSON.stringify(node).length <= FLOW_LENGTH;
      node.flow = isShort && node.items.every((item) => isScalar(item) && !/\s/.test(String(item.value)));
    },
  });
  return document.toString({ ...BLOCK, flowCollectionPadding: false }).trimEnd();
};

const ONE_LINE = {
  collectionStyle: 'flow',
  lineWidth: 0,
  blockQuote: false,
  doubleQuotedMinMultiLineLength: 1e9,
} as const;

/** In one line, with as much space in brackets as the node has. */
export const flow = (value: unknown, text: string, node: Node): string => {
  const isPadded = !isCollection(node) || /^[[{]\s/.test(text.slice(rangeOf(node)[0]));
  const options = { ...ONE_LINE, flowCollectionPadding: isPadded };
  // Inside of a list, so that what is no plain text there is quoted.
  const document = new Document([value]);
  visit(document, {
    Scalar: (_, scalar) => {
      if (isMultiline(scalar.value)) scalar.type = 'QUOTE_DOUBLE';
    },
  });
  return document
    .toString(options)
    .trim()
    .replace(/^\[\s?/, '')
    .replace(/\s?\]$/, '');
};

/** Whether a value is a text of several lines. */
export const isMultiline = (value: unknown): boolean => typeof value === 'string' && value.includes('\n');
/** Whether a value is an object, and no list. */
export const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** What a node says. */
export const plainOf = (node: unknown): unknown => (isNode(node) ? (node.toJSON() as unknown) : node);
/** Whether a node is an alias or has an anchor: what stands there is said elsewhere too. */
export const hasName = (node: Node): boolean => isAlias(node) || (node as { anchor?: string }).anchor !== undefined;

/** Comments between the brackets, or the lines, of a collection: one behind it is kept anyway. */
export const hasComments = (text: string, collection: Node): boolean => {
  let found = (collection.comment ?? '') !== '' && text.slice(...span(collection)).includes(`#${collection.comment}`);
  visit(collection, {
    Node: (_, node) => {
      if (node !== collection && (node.comment || node.commentBefore)) found = true;
    },
  });
  return found;
};

/** Offsets of a parsed node: its start, the end of its value, and the end of what belongs to it. */
export const rangeOf = (node: Node): [number, number, number] => node.range as [number, number, number];
/** Offsets of the value of a parsed node. */
export const span = (node: Node): [number, number] => [rangeOf(node)[0], rangeOf(node)[1]];
/** Where a pair ends. */
export const endOf = ({ key, value }: Pair): number => (isNode(value) ? rangeOf(value)[1] : rangeOf(key as Node)[1]);
/** The start of the line that an offset is in. */
export const lineStart = (text: string, at: number): number => text.lastIndexOf('\n', at - 1) + 1;
/** A line with spaces before it; an empty one stays empty. */
export const pad = (line: string, columns: number): string => (line === '' ? '' : `${' '.repeat(columns)}${line}`);

/** The end of the line that an offset is in, before its line break. */
export const lineEnd = (text: string, at: number): number => {
  // The end of a block value is the start of the next line.
  const from = at > 0 && text[at - 1] === '\n' ? at - 1 : at;
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end;
};

/** Where a node's text ends: block values count the line breaks after them as their own. */
export const trimmedEnd = (text: string, node: Node): number => {
  const [start, end] = rangeOf(node);
  return start + text.slice(start, end).trimEnd().length;
};

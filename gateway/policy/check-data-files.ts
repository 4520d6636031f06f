import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Document, isAlias, isMap, isPair, isScalar, LineCounter, parseDocument, Scalar, visit } from 'yaml';
import type { Remark } from './finding.ts';

/** The data files of a folder of policies, joined as the compiler joins them, and still as written. */
export interface PolicyData {
  readonly tables: Readonly<Record<string, unknown>>;
  /** Tables of which a file could not be read: nobody knows what is in them. */
  readonly unread: ReadonlySet<string>;
  /** The place to edit for a path of the data. Where two files make one table, it is in the one that has more of the path. */
  locate(path: readonly string[]): Place;
}

export type Place = Pick<Remark, 'file' | 'line' | 'column'>;

interface DataFile {
  /** As findings name it. */
  file: string;
  /** The table: the folders below the policies. */
  path: string[];
  document: Document;
  lines: LineCounter;
}

/** Reads data files, YAML or JSON, `names` relative to `policies`. What cannot be read goes to `remarks`. */
export const readData = async (policies: string, names: readonly string[], remarks: Remark[]): Promise<PolicyData> => {
  const files: DataFile[] = [];
  const tables: Record<string, unknown> = {};
  const unread = new Set<string>();
  for (const name of names) {
    const file = await readDataFile(policies, name, remarks);
    if (file === undefined) {
      unread.add(name.split('/')[0] as string);
      continue;
    }
    files.push(file);
    insert(tables, file.path, file.document.toJS({ maxAliasCount: 100 }));
  }
  return { tables, unread, locate: (path) => locate(path, files, policies) };
};

const readDataFile = async (policies: string, name: string, remarks: Remark[]): Promise<DataFile | undefined> => {
  const file = `${basename(policies)}/${name}`;
  const lines = new LineCounter();
  const document = parseDocument(await readFile(join(policies, name), 'utf8'), {
    lineCounter: lines,
    prettyErrors: false,
  });
  for (const error of document.errors)
    remarks.push({ file, ...placeAt(lines, error.pos[0]), check: 'data', why: error.message, fix: 'mend the YAML' });
  if (document.errors.length > 0) return undefined;
  for (const { offset, source, isLarge } of oddNumbers(document)) {
    const place = { file, ...placeAt(lines, offset) };
    if (isLarge) {
      const why = `${source}: WASM keeps whole numbers up to 9007199254740991 exactly`;
      remarks.push({ ...place, check: 'large-number', why, fix: 'write it as a string, or count in larger units' });
    } else {
      const why = `${source}: the compiler reads another number than other readers of YAML do`;
      remarks.push({ ...place, check: 'data', why, fix: 'write it in plain digits, or quote it' });
    }
  }
  return { file, path: name.split('/').slice(0, -1), document, lines };
};

const placeAt = (lines: LineCounter, offset: number): Pick<Remark, 'line' | 'column'> => {
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
};

/**
 * Numbers that do not arrive as written: YAML 1.1, which the compiler reads, has octals such as 014 and digits apart such as
 * 1_000, YAML 1.2 has not; and what no double holds.
 */
const oddNumbers = (document: Document): { offset: number; source: string; isLarge: boolean }[] => {
  const found: { offset: number; source: string; isLarge: boolean }[] = [];
  visit(document, {
    Scalar: (_, { type, source, range, value }) => {
      if (type !== Scalar.PLAIN || source === undefined) return;
      const isLarge = typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER;
      const isAmbiguous = /^[-+]?(0\d+|\d+(_\d+)+(\.\d+)?)$/.test(source);
      if (isLarge || isAmbiguous) found.push({ offset: range?.[0] ?? 0, source, isLarge });
    },
  });
  return found;
};

/** Puts a file's content where the compiler puts it: at the path of its folder. */
const insert = (data: Record<string, unknown>, path: readonly string[], value: unknown): void => {
  const [head, ...rest] = path;
  if (head === undefined) {
    Object.assign(data, value);
  } else if (rest.length === 0) {
    data[head] = typeof data[head] === 'object' ? Object.assign(data[head] as object, value) : value;
  } else {
    data[head] ??= {};
    insert(data[head] as Record<string, unknown>, rest, value);
  }
};

const locate = (path: readonly string[], files: readonly DataFile[], policies: string): Place => {
  let best: { depth: number; place: Place } = { depth: -1, place: { file: basename(policies), line: 0 } };
  for (const file of files) {
    if (!file.path.every((part, index) => path[index] === part)) continue;
    const { offset, depth } = offsetOf(file.document, path.slice(file.path.length));
    if (depth + file.path.length <= best.depth) continue;
    best = { depth: depth + file.path.length, place: { file: file.file, ...placeAt(file.lines, offset) } };
  }
  return best.place;
};

/** Where the deepest known part of a path begins: at its key in a map, so that the line is the one to edit. */
const offsetOf = (document: Document, path: readonly string[]): { offset: number; depth: number } => {
  let node: unknown = document.contents;
  let offset = 0;
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const pair = isMap(node)
      ? node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === part)
      : undefined;
    const next = isMap(node) ? pair?.key : (node as { items?: unknown[] } | null)?.items?.[Number(part)];
    if (next === undefined) return { offset, depth };
    offset = (next as { range?: [number, number, number] }).range?.[0] ?? offset;
    node = pair === undefined ? next : pair.value;
  }
  return { offset, depth: path.length };
};

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import addFormats from 'ajv-formats';
import { type Document, isAlias, isMap, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import type { Finding } from './finding.ts';
import { danglingReferences } from './references.ts';

// The package is CommonJS: under some loaders its function is the module, under others a member.
const formats = addFormats as unknown as { default?: (ajv: Ajv) => void } & ((ajv: Ajv) => void);

interface DataFile {
  /** As findings name it. */
  file: string;
  /** The table: the folders below the policies. */
  path: string[];
  document: Document;
  lines: LineCounter;
}

/**
 * Checks the policies' data files: their shape by schemas/policy-data.json, and that names refer to something. Files are YAML or JSON; findings point at the line of the value. `names` are relative to `policies`.
 */
export const checkData = async (policies: string, names: readonly string[]): Promise<Finding[]> => {
  const findings: Finding[] = [];
  const files: DataFile[] = [];
  const data: Record<string, unknown> = {};
  for (const name of names) {
    const file = await readDataFile(policies, name, findings);
    if (file === undefined) continue;
    files.push(file);
    insert(data, file.path, file.document.toJS({ maxAliasCount: 100 }));
  }
  if (files.length === 0) return findings;
  const ajv = new Ajv({ strict: true, strictTypes: false, allErrors: true, verbose: true });
  (formats.default ?? formats)(ajv);
  const validate = ajv.compile(JSON.parse(readFileSync(SCHEMA, 'utf8')) as object);
  if (!validate(data)) {
    for (const error of validate.errors ?? []) {
      const again = error.keyword === 'propertyNames'; // its cause is reported too
      if (!again) findings.push({ ...locate(pathOf(error), files, policies), check: 'data', ...describeError(error) });
    }
  }
  for (const path of unpricedModels(data)) {
    const why = `${path.join('.')}: it has no price, and there are no default_prices, so it would never be asked`;
    const fix = 'add usd_per_million_tokens, or policies/default_prices/data.yaml';
    findings.push({ ...locate(path, files, policies), check: 'data', why, fix });
  }
  for (const { path, name, table } of danglingReferences(data)) {
    const why = `${path.join('.')}: ${JSON.stringify(name)} is not in ${table}`;
    findings.push({
      ...locate(path, files, policies),
      check: 'reference',
      why,
      fix: `use a name of ${table}, or add it there`,
    });
  }
  return findings;
};

/** Where models are that nobody can be charged for. */
const unpricedModels = ({ models, default_prices: prices }: Record<string, unknown>): string[][] =>
  isMember(models) && prices === undefined
    ? Object.keys(models)
        .filter((name) => isMember(models[name]) && !('usd_per_million_tokens' in (models[name] as object)))
        .map((name) => ['models', name])
    : [];

const isMember = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const SCHEMA = new URL('../../schemas/policy-data.json', import.meta.url);

const readDataFile = async (policies: string, name: string, findings: Finding[]): Promise<DataFile | undefined> => {
  const file = `${basename(policies)}/${name}`;
  const lines = new LineCounter();
  const document = parseDocument(await readFile(join(policies, name), 'utf8'), {
    lineCounter: lines,
    prettyErrors: false,
  });
  for (const error of document.errors) {
    const { line, col } = lines.linePos(error.pos[0]);
    findings.push({ file, line, column: col, check: 'data', why: error.message, fix: 'mend the YAML' });
  }
  return document.errors.length > 0 ? undefined : { file, path: name.split('/').slice(0, -1), document, lines };
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

const pathOf = ({ instancePath, propertyName, params }: ErrorObject): string[] => {
  const path = instancePath.split('/').slice(1);
  const subject = propertyName ?? (params.additionalProperty as string | undefined);
  const plain = path.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return subject === undefined ? plain : [...plain, subject];
};

/** The line to edit. Where two files make one table, it is in the one that has more of the path. */
const locate = (path: readonly string[], files: readonly DataFile[], policies: string): Place => {
  let best: { depth: number; place: Place } = { depth: -1, place: { file: basename(policies), line: 0 } };
  for (const file of files) {
    if (!file.path.every((part, index) => path[index] === part)) continue;
    const { offset, depth } = offsetOf(file.document, path.slice(file.path.length));
    if (depth + file.path.length <= best.depth) continue;
    const { line, col } = file.lines.linePos(offset);
    best = { depth: depth + file.path.length, place: { file: file.file, line, column: col } };
  }
  return best.place;
};

type Place = Pick<Finding, 'file' | 'line' | 'column'>;

const describeError = (error: ErrorObject): Pick<Finding, 'why' | 'fix'> => {
  const { keyword, params, message, parentSchema } = error;
  const at = pathOf(error).join('.') || 'the data';
  if (keyword === 'enum') {
    const allowed = (params.allowedValues as unknown[]).map((value) => JSON.stringify(value)).join(', ');
    return { why: `${at}: not one of the known values`, fix: `use one of ${allowed}` };
  }
  if (keyword === 'additionalProperties') {
    const fields = Object.keys((parentSchema?.properties ?? {}) as object).join(', ');
    return { why: `${at}: unknown field`, fix: `known fields: ${fields}` };
  }
  if (keyword === 'required') return { why: `${at}: ${message}`, fix: `add ${params.missingProperty as string}` };
  return { why: `${at}: ${message ?? keyword}`, fix: 'see schemas/policy-data.json' };
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

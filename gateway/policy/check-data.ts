import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import formats from 'ajv-formats';
import { type Document, isAlias, isMap, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import type { Finding } from './finding.ts';

interface DataFile {
  /** As findings name it. */
  file: string;
  /** The table: the folders below the policies. */
  path: string[];
  document: Document;
  lines: LineCounter;
}

/**
 * Checks the policies' data files against schemas/policy-data.json and schemas/policy-tables.json: shapes, and that names
 * refer to something. Files are YAML or JSON; findings point at the line of the value. `names` are relative to `policies`.
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
  const ajv = createAjv(data);
  for (const schema of ['policy-data', 'policy-tables']) {
    const text = readFileSync(new URL(`../../schemas/${schema}.json`, import.meta.url), 'utf8');
    const validate = ajv.compile(JSON.parse(text) as object);
    if (validate(data)) continue;
    for (const error of validate.errors ?? []) {
      if (error.keyword !== 'propertyNames') findings.push(locate(error, files, policies));
    }
  }
  return findings;
};

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

const tableKeys = (data: Readonly<Record<string, unknown>>, table: string): string[] => {
  const rows = (data[table] ?? {}) as Record<string, { upstreams?: object }>;
  return Object.keys(rows);
};

/** Names of upstreams are those that serve a model: where they are is the operator's configuration. */
const upstreamNames = (data: Readonly<Record<string, unknown>>): string[] => {
  const models = Object.values((data.models ?? {}) as Record<string, { upstreams?: object } | null>);
  return [...new Set(models.flatMap((model) => Object.keys(model?.upstreams ?? {})))];
};

const createAjv = (data: Readonly<Record<string, unknown>>): Ajv => {
  const ajv = new Ajv({ strict: true, strictTypes: false, allErrors: true, verbose: true });
  (formats as unknown as (instance: Ajv) => void)(ajv);
  ajv.addKeyword({
    keyword: 'refersTo',
    type: 'string',
    schemaType: 'string',
    errors: false,
    validate: (table: string, name: string) =>
      (table === 'upstreams' ? upstreamNames(data) : tableKeys(data, table)).includes(name),
  });
  ajv.addKeyword({
    keyword: 'servedBy',
    type: 'object',
    errors: false,
    validate: (_: unknown, { model, upstream }: { model?: string; upstream?: string }) => {
      const row = (data.models as Record<string, { upstreams?: object }> | undefined)?.[model ?? ''];
      return row === undefined || Object.hasOwn(row.upstreams ?? {}, upstream ?? '');
    },
  });
  return ajv;
};

const locate = (error: ErrorObject, files: readonly DataFile[], policies: string): Finding => {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const subject = error.propertyName ?? (error.params.additionalProperty as string | undefined);
  const full = subject === undefined ? path : [...path, subject];
  const told = { check: 'data', why: `${full.join('.') || 'the data'}: ${reasonOf(error)}`, fix: fixOf(error) };
  for (const file of files) {
    if (!file.path.every((part, index) => full[index] === part)) continue;
    const offset = offsetOf(file.document, full.slice(file.path.length));
    const { line, col } = file.lines.linePos(offset);
    return { file: file.file, line, column: col, ...told };
  }
  return { file: basename(policies), line: 0, ...told };
};

const reasonOf = ({ keyword, params, data, message, schema, propertyName }: ErrorObject): string => {
  if (keyword === 'refersTo') return `${JSON.stringify(propertyName ?? data)} is not in the table ${schema as string}`;
  if (keyword === 'servedBy') return 'this upstream does not serve this model';
  if (keyword === 'enum')
    return `must be one of ${(params.allowedValues as unknown[]).map((value) => JSON.stringify(value)).join(', ')}`;
  if (keyword === 'additionalProperties') return 'unknown field';
  return message ?? keyword;
};

const fixOf = ({ keyword, params, parentSchema, schema }: ErrorObject): string => {
  if (keyword === 'refersTo') return `use a name of ${schema as string}, or add it there`;
  if (keyword === 'servedBy') return "name one of the model's upstreams";
  if (keyword === 'additionalProperties') {
    return `known fields: ${Object.keys((parentSchema?.properties ?? {}) as object).join(', ')}`;
  }
  if (keyword === 'required') return `add ${params.missingProperty as string}`;
  return 'see schemas/policy-data.json and schemas/policy-tables.json';
};

/** Where the deepest known part of a path begins: at its key in a map, so that the line is the one to edit. */
const offsetOf = (document: Document, path: readonly string[]): number => {
  let node: unknown = document.contents;
  let offset = 0;
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === part);
      if (pair === undefined) return offset;
      offset = (pair.key as { range?: [number, number, number] }).range?.[0] ?? offset;
      node = pair.value;
    } else {
      node = (node as { items?: unknown[] } | null)?.items?.[Number(part)];
      offset = (node as { range?: [number, number, number] } | undefined)?.range?.[0] ?? offset;
    }
  }
  return offset;
};

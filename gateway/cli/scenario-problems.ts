import { Ajv, type ErrorObject } from 'ajv';
import addFormats from 'ajv-formats';
import { type Document, isAlias, isMap, isPair, isScalar, isSeq, type LineCounter, type Node } from 'yaml';
import { nearestName } from '../nearest-name.ts';
import { readSchema } from '../schema.ts';

/** What is wrong with a scenario's text, and where. */
export interface ScenarioProblem {
  /** From 1. */
  line: number;
  column: number;
  why: string;
}

// The package is CommonJS: under some loaders its function is the module, under others a member.
const formats = addFormats as unknown as { default?: (ajv: Ajv) => void } & ((ajv: Ajv) => void);
const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true, verbose: true });
(formats.default ?? formats)(ajv);
const validate = ajv.compile(readSchema('scenario'));

/** Everything that keeps a YAML document from being a scenario of schemas/scenario.json; none when it is one. */
export const scenarioProblems = (document: Document, lines: LineCounter): ScenarioProblem[] => {
  const at = (offset: number, why: string): ScenarioProblem => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col, why };
  };
  if (document.errors.length > 0) return document.errors.map(({ pos, message }) => at(pos[0], message));
  const start = document.contents?.range?.[0] ?? document.range?.[0] ?? 0;
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return [at(start, (error as Error).message)];
  }
  if (value === null) return [at(start, 'the document is empty: remove its ---')];
  if (validate(value)) return [];
  const problems = telling(validate.errors ?? []).map((error) =>
    at(offsetOf(document, pathOf(error)), describe(error)),
  );
  return problems.sort((a, b) => a.line - b.line || a.column - b.column);
};

/** Without errors that another one explains: alternatives, and a missing field where it is there misspelt. */
const telling = (errors: readonly ErrorObject[]): ErrorObject[] => {
  const misspelt = new Set(
    errors.map((error) => `${error.instancePath} ${suggestion(error) ?? ''}`).filter((key) => !key.endsWith(' ')),
  );
  return errors.filter((error) => {
    if (error.keyword === 'required') return !misspelt.has(`${error.instancePath} ${error.params.missingProperty}`);
    if (error.keyword === 'anyOf') return false;
    // Of several forms, the one that the value does not even try to be says nothing.
    const isForm = /\/anyOf\/\d+\/type$/.test(error.schemaPath);
    return (
      !isForm ||
      !errors.some(
        (other) =>
          other !== error &&
          other.instancePath.startsWith(error.instancePath) &&
          !/\/anyOf\/\d+\/type$/.test(other.schemaPath) &&
          other.keyword !== 'anyOf',
      )
    );
  });
};

const pathOf = ({ instancePath, params }: ErrorObject): string[] => {
  const path = instancePath.split('/').slice(1);
  const plain = path.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const unknown = params.additionalProperty as string | undefined;
  return unknown === undefined ? plain : [...plain, unknown];
};

const knownFields = ({ parentSchema }: ErrorObject): string[] =>
  Object.keys((parentSchema?.properties ?? {}) as object);

const suggestion = (error: ErrorObject): string | undefined =>
  error.keyword === 'additionalProperties'
    ? nearestName(error.params.additionalProperty as string, knownFields(error))
    : undefined;

const describe = (error: ErrorObject): string => {
  const { keyword, params, message, data } = error;
  const field = pathOf(error).join('.') || 'the scenario';
  if (keyword === 'additionalProperties') {
    const near = suggestion(error);
    const known = near === undefined ? `known are ${knownFields(error).join(', ')}` : `did you mean ${near}?`;
    return `${field}: unknown field, ${known}`;
  }
  if (keyword === 'required') return `${field}: ${params.missingProperty as string} is missing`;
  if (keyword === 'enum') {
    const allowed = params.allowedValues as unknown[];
    const near =
      typeof data === 'string'
        ? nearestName(
            data,
            allowed.filter((item) => typeof item === 'string'),
          )
        : undefined;
    return `${field}: ${JSON.stringify(data)} is none of ${allowed.map(String).join(', ')}${near === undefined ? '' : `; did you mean ${near}?`}`;
  }
  return `${field}: ${message ?? keyword}`;
};

/** Where the deepest known part of a path begins: at its key in a map, so that it is what people must edit. */
const offsetOf = (document: Document, path: readonly string[]): number => {
  let node: unknown = document.contents;
  let offset = (node as Node | null)?.range?.[0] ?? 0;
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    const pair = isMap(node)
      ? node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === part)
      : undefined;
    const next = isSeq(node) ? node.items[Number(part)] : pair?.key;
    if (next === undefined || next === null) break;
    offset = (next as Node).range?.[0] ?? offset;
    node = pair === undefined ? next : pair.value;
  }
  return offset;
};

import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject } from 'ajv';
import addFormats from 'ajv-formats';
import { nearestName } from '../nearest-name.ts';
import type { PolicyData } from './check-data-files.ts';
import { deprecatedModels } from './check-deprecated.ts';
import { experimentProblems } from './check-experiments.ts';
import { qualityGaps } from './check-quality.ts';
import type { Remark } from './finding.ts';
import { danglingReferences, namesOf } from './references.ts';

// The package is CommonJS: under some loaders its function is the module, under others a member.
const formats = addFormats as unknown as { default?: (ajv: Ajv) => void } & ((ajv: Ajv) => void);

const SCHEMA = new URL('../../schemas/policy-data.json', import.meta.url);

/**
 * Checks the policies' data: their shape by schemas/policy-data.json, that names refer to something, that experiments can
 * be and do not meet, that no model in use is retired on the day `today` (YYYY-MM-DD) or soon after, and that measured
 * quality counts on that day. Findings point at the line of the value.
 */
export const checkData = ({ tables, unread, locate }: PolicyData, today: string): Remark[] => {
  if (Object.keys(tables).length === 0) return [];
  const remarks = shapeErrors(tables).map((error) => ({
    ...locate(pathOf(error)),
    check: 'data',
    ...describeError(error),
  }));
  for (const path of unpricedModels(tables)) {
    const why = `${path.join('.')}: it has no price, and there are no default_prices, so it would never be asked`;
    const fix = 'add usd_per_million_tokens, or policies/default_prices/data.yaml';
    remarks.push({ ...locate(path), check: 'data', why, fix });
  }
  for (const { path, name, table } of danglingReferences(tables)) {
    if (isUnread(table, unread)) continue;
    const why = `${path.join('.')}: ${JSON.stringify(name)} is not in ${table}`;
    const meant = nearestName(name, [...namesOf(tables, table)]);
    const use = meant === undefined ? `use a name of ${table}` : `use ${meant} or another name of ${table}`;
    remarks.push({ ...locate(path), check: 'reference', why, fix: `${use}, or add it there` });
  }
  for (const { path, why, fix } of deprecatedModels(tables, today)) {
    remarks.push({ ...locate(path), check: 'deprecated-model', why: `${path.join('.')}: ${why}`, fix });
  }
  for (const { path, check, why, fix } of experimentProblems(tables)) {
    remarks.push({ ...locate(path), check, why, fix });
  }
  for (const { path, why, fix } of qualityGaps(tables, today)) {
    remarks.push({ ...locate(path), check: 'unmeasured', why, fix });
  }
  return remarks;
};

/** Upstreams are those of models, so without these neither is known. */
const isUnread = (table: string, unread: ReadonlySet<string>): boolean =>
  unread.has(table) || (unread.has('models') && (table === 'upstreams' || table.startsWith('models')));

/** What the schema refuses, each cause once. */
const shapeErrors = (tables: object): ErrorObject[] => {
  const ajv = new Ajv({ strict: true, strictTypes: false, allErrors: true, verbose: true });
  (formats.default ?? formats)(ajv);
  const validate = ajv.compile(JSON.parse(readFileSync(SCHEMA, 'utf8')) as object);
  if (validate(tables)) return [];
  const errors = validate.errors ?? [];
  // propertyNames and anyOf only gather what is reported beside them; of a choice, what speaks of null
  // says nothing more, nor does a constant of a value of another type.
  return errors.filter(
    ({ keyword, params, instancePath }) =>
      keyword !== 'propertyNames' &&
      !(
        keyword === 'const' && errors.some((other) => other.keyword === 'type' && other.instancePath === instancePath)
      ) &&
      !(
        keyword === 'anyOf' &&
        errors.some((other) => other.keyword !== 'anyOf' && other.instancePath.startsWith(instancePath))
      ) &&
      !(
        params.type === 'null' &&
        errors.some((other) => other.instancePath === instancePath && other.params.type !== 'null')
      ),
  );
};

/** Where models are that nobody can be charged for. */
const unpricedModels = ({ models, default_prices: prices }: Record<string, unknown>): string[][] =>
  isMember(models) && prices === undefined
    ? Object.keys(models)
        .filter((name) => isMember(models[name]) && !('usd_per_million_tokens' in (models[name] as object)))
        .map((name) => ['models', name])
    : [];

const isMember = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const pathOf = ({ instancePath, propertyName, params }: ErrorObject): string[] => {
  const path = instancePath.split('/').slice(1);
  const subject = propertyName ?? (params.additionalProperty as string | undefined);
  const plain = path.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return subject === undefined ? plain : [...plain, subject];
};

const describeError = (error: ErrorObject): Pick<Remark, 'why' | 'fix'> => {
  const { keyword, params, message, parentSchema } = error;
  const at = pathOf(error).join('.') || 'the data';
  const subject = error.propertyName ?? (error.data as unknown);
  const given = typeof subject === 'object' && subject !== null ? 'this' : JSON.stringify(subject);
  switch (keyword) {
    case 'enum': {
      const allowed = (params.allowedValues as unknown[]).map((value) => JSON.stringify(value)).join(', ');
      return { why: `${at}: not one of the known values`, fix: `use one of ${allowed}` };
    }
    case 'additionalProperties': {
      const fields = Object.keys((parentSchema?.properties ?? {}) as object).join(', ');
      return { why: `${at}: unknown field`, fix: `known fields: ${fields}` };
    }
    case 'required':
      return { why: `${at}: ${message}`, fix: `add ${params.missingProperty as string}` };
    case 'const':
      return {
        why: `${at}: ${message}, not ${given}`,
        fix: `write ${JSON.stringify(params.allowedValue)}, or leave it out`,
      };
    case 'pattern': {
      const [, marks = ''] = /\[A-Za-z0-9([^\]]*)\]\{/.exec(String(params.pattern)) ?? [];
      const letters = `begin with a letter or digit; then letters, digits and ${[...marks].join(' ')}`;
      return { why: `${at}: ${given} ${message}`, fix: marks === '' ? `match ${params.pattern}` : letters };
    }
    case 'format':
      return {
        why: `${at}: ${message}`,
        fix: `write a ${params.format}${params.format === 'date' ? ', YYYY-MM-DD' : ''}`,
      };
    case 'type':
      return { why: `${at}: ${message}, not ${given}`, fix: `write ${aOrAn(String(params.type))}` };
    default:
      return {
        why: `${at}: ${message ?? keyword}`,
        fix: String(parentSchema?.description ?? 'see schemas/policy-data.json'),
      };
  }
};

const aOrAn = (type: string): string => (/^[aeio]/.test(type) ? `an ${type}` : `a ${type}`);

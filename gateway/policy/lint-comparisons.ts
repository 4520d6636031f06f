import { readFileSync } from 'node:fs';
import type { Report } from './lint.ts';
import { type Expression, isConstantPath, pathOf, type Rule, type Term, visitExpressions } from './rego-ast.ts';

const ORDERS = new Set(['lt', 'lte', 'gt', 'gte']);
const COMPARISONS = new Set([...ORDERS, 'equal', 'neq']);

interface Schema {
  type?: string | string[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
}

const INPUT = JSON.parse(readFileSync(new URL('../../schemas/input.json', import.meta.url), 'utf8')) as Schema;

/**
 * Comparisons of an input field with a constant of another type. Rego orders types (null < boolean < number < string), so
 * `"9" >= 5` and `null < 5` are true, and equality of different types is silently false.
 */
export const lintComparisons = (rule: Rule, report: Report): void => {
  const checked = typeChecks(rule);
  visitExpressions(rule, ({ terms }) => {
    if (!Array.isArray(terms)) return;
    const [operator, left, right] = terms;
    const name = pathOf(operator)?.join('.') ?? '';
    if (!COMPARISONS.has(name) || left === undefined || right === undefined) return;
    for (const [field, other] of [[left, right] as const, [right, left] as const]) {
      const path = inputPath(field);
      const types = path === undefined ? undefined : typesOf(path);
      if (path === undefined || types === undefined || types.size === 0) continue;
      const at = field.location ?? rule.location;
      const spelt = path.join('.');
      if (isConstant(other) && !types.has(other.type)) {
        report(
          at,
          'types',
          `${spelt} is a ${[...types].join(' or ')}, compared with a ${other.type}`,
          'compare with a constant of its type',
        );
      } else if (ORDERS.has(name) && types.has('null') && !checked.has(spelt)) {
        report(at, 'null-order', `${spelt} may be null, and null is less than every number`, `is_number(${spelt})`);
      }
    }
  });
};

const isConstant = ({ type }: Term): boolean =>
  type === 'string' || type === 'number' || type === 'boolean' || type === 'null';

/** Fields that the rule asks to be a number or a string, or not null. */
const typeChecks = (rule: Rule): Set<string> => {
  const fields = new Set<string>();
  visitExpressions(rule, ({ terms, negated }: Expression) => {
    if (!Array.isArray(terms)) return;
    const name = pathOf(terms[0])?.join('.') ?? '';
    const path = inputPath(terms[1]);
    if (path === undefined) return;
    const excludesNull = name === 'neq' && terms[2]?.type === 'null';
    if (
      (!negated && (name === 'is_number' || name === 'is_string' || excludesNull)) ||
      (negated && name === 'is_null')
    ) {
      fields.add(path.join('.'));
    }
  });
  return fields;
};

const inputPath = (term: Term | undefined): string[] | undefined => {
  if (term === undefined || !isConstantPath(term)) return undefined;
  const path = pathOf(term);
  return path?.[0] === 'input' ? path : undefined;
};

/** The types that the input schema gives a field, in Rego's names; undefined when the schema does not say. */
const typesOf = (path: readonly string[]): Set<string> | undefined => {
  let schema: Schema = INPUT;
  for (const part of path.slice(1)) {
    const free: boolean | Schema | undefined = schema.additionalProperties;
    const next: Schema | undefined = schema.properties?.[part] ?? (typeof free === 'object' ? free : undefined);
    if (next === undefined) return undefined;
    schema = next;
  }
  const names = [schema, ...(schema.anyOf ?? [])].flatMap(({ type }) => type ?? []);
  return new Set(names.map((name) => (name === 'integer' ? 'number' : name)));
};

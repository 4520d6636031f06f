import { type Condition, conditionsOf, constantValueOf, spell } from './lint-conditions.ts';
import { canHold, describeDomain, domainOf, type Schema, typesOf } from './lint-domain.ts';
import type { Report } from './lint-report.ts';
import { pathOf, type Term } from './rego-ast.ts';
import type { Body } from './rego-bodies.ts';
import { type Origin, originOf } from './rego-origin.ts';

const ORDERS = new Set(['lt', 'lte', 'gt', 'gte']);

/**
 * Comparisons of an input field with what schemas/input.json does not let it be. Rego orders types (null < boolean < number
 * < string), so `"9" >= 5` and `null < 5` are true, and equality of different types is silently false.
 */
export const lintComparisons = (bodies: readonly Body[], report: Report): void => {
  const checked = typeChecks(bodies);
  for (const body of bodies) {
    for (const condition of conditionsOf(body)) lintCondition(condition, report);
    for (const { terms, location: at } of body.expressions) {
      if (!Array.isArray(terms) || !ORDERS.has(pathOf(terms[0])?.join('.') ?? '')) continue;
      for (const [index, side] of [terms[1], terms[2]].entries()) {
        const path = inputPath(originOf(side, body.scope));
        const other = terms[2 - index];
        if (side === undefined || path === undefined || checked.has(path.join('.'))) continue;
        const types = typesOf(domainOf(path));
        if (!types.has('null') || (other !== undefined && isOtherType(other, types))) continue;
        const spelt = spell(side);
        report(
          side.location ?? at,
          'null-order',
          `${spelt} may be null, and null is less than every number`,
          `is_number(${spelt})`,
        );
      }
    }
  }
};

const lintCondition = ({ origin, operator, constants, negated, location }: Condition, report: Report): void => {
  const path = inputPath(origin);
  const domain = path === undefined ? [] : domainOf(path);
  const types = typesOf(domain);
  if (path === undefined || types.size === 0) return;
  const name = path.join('.').replaceAll('.*', '[_]');
  for (const constant of constants) {
    const at = constant.location ?? location;
    const shown = JSON.stringify(constantValueOf(constant));
    if (!types.has(constant.type)) {
      const why = `${name} is a ${[...types].join(' or ')}, compared with a ${constant.type}`;
      report(at, 'types', why, 'compare with a constant of its type');
    } else if (negated ? operator === 'equal' : operator === 'neq') {
      if (canHold(domain, 'equal', constantValueOf(constant))) continue;
      report(at, 'always-true', `${name} is never ${shown}, so this excludes nothing`, allowed(name, domain));
    } else if (negated) {
      // `not x < 5` is undefined, and not true, where x is missing: negated-input speaks of it
    } else if (!canHold(domain, operator, constantValueOf(constant))) {
      const relation = { equal: '', neq: '', lt: 'less than ', lte: 'at most ', gt: 'more than ', gte: 'at least ' }[
        operator
      ];
      report(at, 'never-true', `${name} is never ${relation}${shown}, so this never holds`, allowed(name, domain));
    }
  }
};

const allowed = (name: string, domain: readonly Schema[]): string => `${name} is ${describeDomain(domain)}`;

const isOtherType = ({ type }: Term, types: ReadonlySet<string>): boolean =>
  ['string', 'number', 'boolean', 'null'].includes(type) && !types.has(type);

/** Fields that the rule asks to be a number or a string, or not null. */
const typeChecks = (bodies: readonly Body[]): Set<string> => {
  const fields = new Set<string>();
  for (const { expressions, scope } of bodies) {
    for (const { terms, negated } of expressions) {
      if (!Array.isArray(terms)) continue;
      const name = pathOf(terms[0])?.join('.') ?? '';
      const path = inputPath(originOf(terms[1], scope));
      if (path === undefined) continue;
      const excludesNull = name === 'neq' && terms[2]?.type === 'null';
      const asks = name === 'is_number' || name === 'is_string' || excludesNull;
      if (negated ? name === 'is_null' : asks) fields.add(path.join('.'));
    }
  }
  return fields;
};

const inputPath = (origin: Origin | undefined): readonly string[] | undefined =>
  origin !== undefined && 'path' in origin && origin.path[0] === 'input' ? origin.path : undefined;

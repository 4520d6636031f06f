import type { Report } from './lint-report.ts';
import { type Expression, nameOf, pathOf, type Rule, type Term, visitCalls } from './rego-ast.ts';

/** Rules whose truth lets a request through. */
const GRANTS = new Set(['allow', 'granted']);

/** Grants that hold by default, because nothing denied, or because a field is missing. */
export const lintGrant = (rule: Rule, report: Report): void => {
  const name = nameOf(rule);
  if (!GRANTS.has(name)) return;
  const fix = `name in ${name} the facts that it needs, so that a missing one is a no`;
  if (rule.default) {
    if (rule.head.value?.value === true)
      report(rule.location, 'open-default', `${name} is true by default`, `default ${name} := false`);
    return;
  }
  if (rule.head.value !== undefined && rule.head.value.value !== true) return;
  const counted = countedNames(rule);
  if ((rule.body ?? []).every((expression) => isAbsence(expression, counted))) {
    report(
      rule.location,
      'absence-grants',
      `${name} holds because nothing denied; a deny rule whose field is missing does not deny`,
      fix,
    );
  }
  for (const { negated, terms, location } of rule.body ?? []) {
    if (negated && !Array.isArray(terms) && isInputRef(terms as Term)) {
      report(location, 'missing-grants', 'a field that is missing makes this true', fix);
    }
  }
};

/** Variables that hold a count. */
const countedNames = (rule: Rule): Set<string> => {
  const names = new Set<string>();
  for (const { terms } of rule.body ?? []) {
    if (!Array.isArray(terms)) continue;
    const [operator, target, value] = terms;
    if (pathOf(operator)?.[0] === 'assign' && target?.type === 'var' && callsCount(value))
      names.add(target.value as string);
  }
  return names;
};

/** Whether an expression says only that something is not there: negated, or a count compared with 0. `true` says nothing. */
const isAbsence = ({ negated, terms }: Expression, counted: ReadonlySet<string>): boolean => {
  if (negated) return true;
  if (!Array.isArray(terms)) return (terms as Term).type === 'boolean';
  const [operator, left, right] = terms;
  const name = pathOf(operator)?.[0] ?? '';
  if (name === 'assign') return callsCount(right);
  const isCount = (term: Term | undefined): boolean =>
    callsCount(term) || (term?.type === 'var' && counted.has(term.value as string));
  const isZero = (term: Term | undefined): boolean => term?.type === 'number' && term.value === 0;
  if (name === 'equal') return (isCount(left) && isZero(right)) || (isZero(left) && isCount(right));
  return ((name === 'lt' || name === 'lte') && isCount(left)) || ((name === 'gt' || name === 'gte') && isCount(right));
};

const callsCount = (node: unknown): boolean => {
  let found = false;
  visitCalls(node, ({ operator }) => {
    if (operator === 'count') found = true;
  });
  return found;
};

const isInputRef = (term: Term): boolean => term.type === 'ref' && pathOf(term)?.[0] === 'input';

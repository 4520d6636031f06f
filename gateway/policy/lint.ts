import type { Finding } from './finding.ts';
import { lintComparisons } from './lint-comparisons.ts';
import {
  type Expression,
  type Module,
  nameOf,
  pathOf,
  type Rule,
  readsInput,
  type Term,
  visitCalls,
  visitExpressions,
  visitTerms,
} from './rego-ast.ts';

/** Reports one finding at a place of the module under check. */
export type Report = (at: { row: number; col: number }, check: string, why: string, fix: string) => void;

/** Rules whose truth lets a request through. */
const GRANTS = new Set(['allow', 'granted']);

/**
 * What the compiler accepts and a policy must not do: the ways in which Rego fails open or behaves otherwise in WASM.
 * Each is explained in docs/policy-guide.md.
 */
export const lintModule = (module: Module, file: string): Finding[] => {
  const findings: Finding[] = [];
  const report: Report = ({ row, col }, check, why, fix) =>
    findings.push({ file, line: row, column: col, check, why, fix });
  const folders = module.package.path.slice(1).map(({ value }) => value as string);
  for (const rule of module.rules ?? []) {
    if (GRANTS.has(nameOf(rule))) lintGrant(rule, report);
    if (nameOf(rule) === 'deny' && rule.head.key !== undefined) lintDeny(rule, folders, report);
    lintNegations(rule, report);
    lintCalls(rule, report);
    lintObligations(rule, report);
    lintComparisons(rule, report);
  }
  return findings;
};

const lintGrant = (rule: Rule, report: Report): void => {
  const name = nameOf(rule);
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

const lintNegations = (rule: Rule, report: Report): void =>
  visitExpressions(rule, ({ negated, terms, location }) => {
    if (!negated || !Array.isArray(terms) || !readsInput(terms.slice(1))) return;
    report(
      location,
      'negated-input',
      'with the field missing, this is undefined and not true: the rule does not hold',
      'turn the comparison round, or name a helper rule and negate that',
    );
  });

const lintCalls = (rule: Rule, report: Report): void =>
  visitCalls(rule, ({ operator, args, location }) => {
    if (operator === 'sprintf') {
      report(
        location,
        'sprintf',
        'an argument that is undefined drops the whole rule, and WASM formats otherwise',
        'use a template string: $"… {value} …"',
      );
    }
    const search = args[1];
    if (operator === 'replace' && (search?.type !== 'string' || search.value === '')) {
      report(
        location,
        'replace-search',
        'replace with an empty search string never ends in WASM',
        'use a constant search string that is not empty',
      );
    }
    if (
      operator.startsWith('regex.') &&
      args.some(({ type, value }) => type === 'string' && String(value).includes('(?<'))
    ) {
      report(location, 'named-group', '(?<name>…) is not valid in RE2', 'write (?P<name>…)');
    }
  });

const lintDeny = (rule: Rule, folders: readonly string[], report: Report): void => {
  const notes = rule.annotations?.find(({ scope }) => scope === 'rule');
  const code = notes?.custom?.code;
  if (!notes?.title || typeof code !== 'string') {
    report(
      rule.location,
      'deny-metadata',
      'explain and the callers need to know this rule',
      'put METADATA with title, description and custom.code above it',
    );
    return;
  }
  const stated = constantsOf(rule.head.key);
  const id = [...(folders[0] === 'rules' ? folders.slice(1) : folders), code].join('.');
  if (stated.code !== undefined && stated.code !== code) {
    report(
      rule.location,
      'deny-code',
      `it denies with code ${stated.code}, its METADATA say ${code}`,
      'make both the same',
    );
  }
  if (stated.rule !== undefined && stated.rule !== id) {
    report(rule.location, 'deny-rule', `it names itself ${stated.rule}`, `"rule": "${id}"`);
  }
};

/** The constant strings of an object term by key. */
const constantsOf = (term: Term | undefined): Record<string, string> => {
  const constants: Record<string, string> = {};
  if (term?.type !== 'object') return constants;
  for (const [key, value] of term.value as [Term, Term][]) {
    if (key.type === 'string' && value.type === 'string') constants[key.value as string] = value.value as string;
  }
  return constants;
};

/** Decisions that no stage executes yet. The schema refuses them at run time; the author learns it here. */
const lintObligations = (rule: Rule, report: Report): void => {
  visitTerms(rule, (term) => {
    if (term.type !== 'object') return;
    for (const [key, value] of term.value as [Term, Term][]) {
      const at = key.location ?? rule.location;
      const name = key.type === 'string' ? key.value : '';
      const constant = ['string', 'number', 'boolean', 'object', 'array'].includes(value.type);
      if ((name === 'mirror' || name === 'cache') && constant) {
        report(
          at,
          'not-executed',
          `no stage executes ${name} yet, so a decision with it is refused`,
          `"${name}": null`,
        );
      }
      if (
        name === 'in' &&
        value.type === 'array' &&
        (value.value as Term[]).some((item) => item.value === 'response')
      ) {
        report(
          at,
          'not-executed',
          'no stage redacts answers yet, so a decision with it is refused',
          '"in": ["request"]',
        );
      }
    }
  });
};

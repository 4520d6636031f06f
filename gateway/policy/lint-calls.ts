import type { Report } from './lint-report.ts';
import { type Rule, type Term, visitCalls, visitTerms } from './rego-ast.ts';

/** Calls that WASM answers otherwise than people expect, or never; and numbers that it does not keep. */
export const lintCalls = (rule: Rule, report: Report): void =>
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
    if (operator === 'strings.replace_n' && !isReplacements(args[0])) {
      report(
        location,
        'replace-search',
        'strings.replace_n with an empty search string, or with ones that are not constant, may never end in WASM',
        'write the searched strings as constants that are not empty',
      );
    }
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

/** An object of constant search strings, none empty. */
const isReplacements = (term: Term | undefined): boolean =>
  term?.type === 'object' &&
  (term.value as [Term, Term][]).every(([{ type, value }]) => type === 'string' && value !== '');

/** Numbers that are not kept exactly. */
export const lintNumbers = (rule: Rule, report: Report): void =>
  visitTerms(rule, ({ type, value, location }) => {
    if (type !== 'number' || Math.abs(Number(value)) <= Number.MAX_SAFE_INTEGER) return;
    const why = 'WASM keeps whole numbers up to 9007199254740991 exactly, and beyond 1e308 makes null of them';
    report(location ?? rule.location, 'large-number', why, 'write it as a string, or count in larger units');
  });

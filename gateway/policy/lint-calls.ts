import type { Report } from './lint-report.ts';
import { type Rule, visitCalls, visitTerms } from './rego-ast.ts';

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

/** Numbers that are not kept exactly. */
export const lintNumbers = (rule: Rule, report: Report): void =>
  visitTerms(rule, ({ type, value, location }) => {
    if (type !== 'number' || Math.abs(Number(value)) <= Number.MAX_SAFE_INTEGER) return;
    const why = 'WASM keeps whole numbers up to 9007199254740991 exactly, and beyond 1e308 makes null of them';
    report(location ?? rule.location, 'large-number', why, 'write it as a string, or count in larger units');
  });

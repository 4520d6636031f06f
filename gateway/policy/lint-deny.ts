import type { Report } from './lint-report.ts';
import { nameOf, type Rule, type Term } from './rego-ast.ts';

/** A deny rule's METADATA, and that it denies with the code and under the id that they say. `folders` are its package. */
export const lintDeny = (rule: Rule, folders: readonly string[], report: Report): void => {
  if (nameOf(rule) !== 'deny' || rule.head.key === undefined) return;
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

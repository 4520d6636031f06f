import type { Report } from './lint-report.ts';
import { type Rule, type Term, visitTerms } from './rego-ast.ts';

/** Decisions that no stage executes yet. The schema refuses them at run time; the author learns it here. */
export const lintObligations = (rule: Rule, report: Report): void => {
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

import type { Report } from './lint-report.ts';
import { COMPREHENSIONS, type Term } from './rego-ast.ts';
import { type Body, visitOwnTerms } from './rego-bodies.ts';
import { originOf } from './rego-origin.ts';

/** Negated calls on a field of the input, also by the name of a rule that stands for a part of it. */
export const lintNegations = (bodies: readonly Body[], report: Report): void => {
  for (const { expressions, scope } of bodies) {
    for (const { negated, terms, location } of expressions) {
      if (!negated || !Array.isArray(terms)) continue;
      const heads = terms.slice(1);
      let reads = false;
      const see = (term: Term): void => {
        const isLocal = scope.locals.has(String((term.type === 'ref' ? (term.value as Term[])[0] : term)?.value));
        const origin = isLocal ? undefined : originOf(term, scope);
        if (origin !== undefined && 'path' in origin && origin.path[0] === 'input') reads = true;
        if (COMPREHENSIONS.has(term.type) && JSON.stringify(term).includes('"input"')) reads = true;
      };
      visitOwnTerms({ expressions: [], heads }, see);
      if (!reads) continue;
      report(
        location,
        'negated-input',
        'with the field missing, this is undefined and not true: the rule does not hold',
        'turn the comparison round, or name a helper rule and negate that',
      );
    }
  }
};

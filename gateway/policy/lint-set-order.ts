import type { Report } from './lint-report.ts';
import { type Comprehension, pathOf, someOf, type Term } from './rego-ast.ts';
import { type Body, visitOwnTerms } from './rego-bodies.ts';
import type { Scope } from './rego-origin.ts';
import { pathKey } from './rego-program.ts';

/** Functions that do not look at the order of their argument. */
const ORDERLESS = new Set(['sort', 'count', 'sum', 'max', 'min', 'product']);

/** Lists whose order is that of a set that a rule or a comprehension makes: it differs between the interpreter and WASM. */
export const lintSetOrder = (bodies: readonly Body[], report: Report): void => {
  for (const body of bodies) {
    const ordered = new Set<Term>();
    const sortedCall = (terms: unknown): void => {
      if (!Array.isArray(terms)) return;
      const [operator, argument] = terms as Term[];
      if (argument !== undefined && ORDERLESS.has(pathOf(operator)?.join('.') ?? '')) ordered.add(argument);
    };
    for (const { terms } of body.expressions) sortedCall(terms);
    visitOwnTerms(body, (term) => {
      if (term.type === 'call') sortedCall(term.value);
    });
    visitOwnTerms(body, (term) => {
      if (term.type !== 'arraycomprehension' || ordered.has(term)) return;
      const { body: conditions } = term.value as Comprehension;
      for (const expression of conditions) {
        const [symbol] = someOf(expression)?.symbols ?? [];
        const collection = symbol?.type === 'call' ? (symbol.value as Term[]).at(-1) : undefined;
        if (collection === undefined || !isSet(collection, body.scope)) continue;
        const why = 'a set has no order, so neither has this list: the interpreter and WASM make different ones';
        report(
          collection.location ?? expression.location,
          'set-order',
          why,
          'walk sort(…) of the set, or sort the list',
        );
      }
    });
  }
};

const isSet = (term: Term, { names, program, locals }: Scope): boolean => {
  if (term.type === 'setcomprehension') return true;
  if (term.type === 'set') return (term.value as Term[]).length > 1;
  if (term.type === 'call') return pathOf((term.value as Term[])[0])?.join('.') === 'object.keys';
  const path = pathOf(term);
  if (path === undefined || locals.has(path[0] ?? '')) return false;
  const [head = '', ...rest] = path;
  const full = head === 'data' ? rest : [...(names.imports.get(head)?.slice(1) ?? [...names.package, head]), ...rest];
  const definitions = program.rules.get(pathKey(full)) ?? [];
  return (
    definitions.length > 0 &&
    definitions.every(({ rule }) => rule.head.key !== undefined && rule.head.value === undefined)
  );
};

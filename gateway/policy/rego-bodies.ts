import { COMPREHENSIONS, type Comprehension, type Expression, everyOf, type Rule, type Term } from './rego-ast.ts';
import { memberOf, type Origin, originOf, type Scope, scopeOfBody, scopeOfRule } from './rego-origin.ts';
import type { Names, Program } from './rego-program.ts';

/** Conditions that hold together: a rule's body, or one of a comprehension or of `every`, with what names mean in it. */
export interface Body {
  readonly expressions: readonly Expression[];
  /** What the conditions are for: the head's terms, a comprehension's term. */
  readonly heads: readonly Term[];
  readonly scope: Scope;
  /** Whether it is the rule's own. */
  readonly own: boolean;
}

/** A rule's bodies, its own first; those of `else` too. */
export const bodiesOf = (rule: Rule, program: Program, names: Names): Body[] => {
  const { key, value, ref = [] } = rule.head;
  const heads = [...ref.slice(1), ...(key ? [key] : []), ...(value ? [value] : [])];
  const scope = scopeOfRule(rule, program, names);
  const bodies = withInner({ expressions: rule.body ?? [], heads, scope, own: true });
  return rule.else === undefined ? bodies : [...bodies, ...bodiesOf(rule.else, program, names)];
};

const withInner = (body: Body): Body[] => {
  const inner: Body[] = [];
  visitOwnTerms(body, (term) => {
    if (!COMPREHENSIONS.has(term.type)) return;
    const { term: member, key, value, body: expressions } = term.value as Comprehension;
    const heads = [member, key, value].filter((head) => head !== undefined);
    inner.push(...withInner({ expressions, heads, scope: scopeOfBody(expressions, body.scope), own: false }));
  });
  for (const expression of body.expressions) {
    const every = everyOf(expression);
    if (every === undefined) continue;
    const locals = new Map(body.scope.locals);
    const member = (): Origin | undefined => memberOf(originOf(every.domain, body.scope));
    if (every.value.type === 'var') locals.set(String(every.value.value), member);
    if (every.key?.type === 'var') locals.set(String(every.key.value), () => undefined);
    const scope = scopeOfBody(every.body, { ...body.scope, locals });
    inner.push(...withInner({ expressions: every.body, heads: [], scope, own: false }));
  }
  return [body, ...inner];
};

/** Calls `see` with every term of a body's conditions and heads; a comprehension is seen, its inside is another body. */
export const visitOwnTerms = (
  { expressions, heads }: Pick<Body, 'expressions' | 'heads'>,
  see: (term: Term) => void,
): void => {
  for (const head of heads) visit(head, see);
  for (const expression of expressions) {
    const every = everyOf(expression);
    visit(every === undefined ? expression.terms : every.domain, see);
  }
};

const visit = (node: unknown, see: (term: Term) => void): void => {
  if (Array.isArray(node)) {
    for (const item of node) visit(item, see);
  } else if (typeof node === 'object' && node !== null) {
    if ('type' in node && typeof node.type === 'string') {
      see(node as Term);
      if (COMPREHENSIONS.has(node.type)) return;
    }
    for (const [key, item] of Object.entries(node)) if (key !== 'location') visit(item, see);
  }
};

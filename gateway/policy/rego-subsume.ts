import { type Expression, everyOf, pathOf, type Rule, type Term, termOf } from './rego-ast.ts';
import { visitOwnTerms } from './rego-bodies.ts';
import type { Scope } from './rego-origin.ts';
import { pathKey } from './rego-program.ts';

/** A rule as it is compared with others: by structure, whatever its variables are called and its conditions' order. */
export interface Pattern {
  readonly arguments: readonly Term[];
  readonly head: readonly unknown[];
  readonly conditions: readonly Expression[];
  readonly scope: Scope;
  /** Variables outside of comprehensions and `every`: one of these is never renamed to one of the inside. */
  readonly outer: ReadonlySet<string>;
}

export const createPattern = (rule: Rule, scope: Scope): Pattern => {
  const { args = [], ref = [], key, value } = rule.head;
  // `true` is what a body without conditions is written as.
  const conditions = (rule.body ?? []).filter(
    (condition) => !(termOf(condition)?.value === true && !condition.negated),
  );
  const heads = [...args, ...ref.slice(1), ...(key ? [key] : []), ...(value ? [value] : [])];
  const outer = new Set<string>();
  visitOwnTerms({ expressions: conditions, heads }, ({ type, value: name }) => {
    if (type === 'var') outer.add(String(name));
  });
  const result = value ?? (key === undefined ? { type: 'boolean', value: true } : null);
  return { arguments: args, head: [ref.slice(1), key ?? null, result], conditions, scope, outer };
};

/** Names of one rule's variables in the other, one to one. */
interface Renaming {
  readonly to: ReadonlyMap<string, string>;
  readonly from: ReadonlyMap<string, string>;
}

/** Bounds the search: beyond it nothing is claimed. */
const STEPS = 20_000;

/**
 * Whether `wide` holds whenever `narrow` does: each of its conditions is one of `narrow`'s, after one renaming of its
 * variables. With `head` their results are the same too; with `'arguments'` only what they are called with.
 */
export const subsumes = (wide: Pattern, narrow: Pattern, head: boolean | 'arguments'): boolean => {
  if (wide.conditions.length > narrow.conditions.length) return false;
  const matcher = createMatcher(wide, narrow);
  const none: Renaming = { to: new Map(), from: new Map() };
  const called = matcher.match(wide.arguments, narrow.arguments, none);
  const start = called && head === true ? matcher.match(wide.head, narrow.head, called) : called;
  return start !== undefined && matcher.search(wide.conditions, start);
};

interface Matcher {
  match(a: unknown, b: unknown, renaming: Renaming): Renaming | undefined;
  search(conditions: readonly Expression[], renaming: Renaming): boolean;
}

const createMatcher = (wide: Pattern, narrow: Pattern): Matcher => {
  let steps = 0;

  const search = ([condition, ...rest]: readonly Expression[], renaming: Renaming): boolean => {
    if (condition === undefined) return true;
    return narrow.conditions.some((candidate) => {
      steps += 1;
      if (steps > STEPS) return false;
      return orders(condition, candidate).some((turned) => {
        const next = match(condition, turned, renaming);
        return next !== undefined && search(rest, next);
      });
    });
  };

  const match = (a: unknown, b: unknown, renaming: Renaming): Renaming | undefined => {
    if (Array.isArray(a)) {
      if (!Array.isArray(b) || a.length !== b.length) return undefined;
      return a.reduce<Renaming | undefined>((current, item, at) => current && match(item, b[at], current), renaming);
    }
    if (typeof a !== 'object' || a === null) return a === b ? renaming : undefined;
    if (typeof b !== 'object' || b === null) return undefined;
    if (isTerm(a) && isTerm(b) && a.type === 'var' && b.type === 'var') return matchNames(a, b, renaming);
    const [callA, callB] = [callOf(a), callOf(b)];
    if (callA && callB) {
      const same = operatorOf(callA, wide.scope) === operatorOf(callB, narrow.scope) && negationOf(a) === negationOf(b);
      return same ? match(callA.slice(1), callB.slice(1), renaming) : undefined;
    }
    const keys = fieldsOf(a);
    if (keys.join() !== fieldsOf(b).join()) return undefined;
    return keys.reduce<Renaming | undefined>(
      (current, key) =>
        current && match((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key], current),
      renaming,
    );
  };

  const matchNames = (a: Term, b: Term, renaming: Renaming): Renaming | undefined => {
    const [one, two] = [String(a.value), String(b.value)];
    const [global, other] = [globalOf(one, wide.scope), globalOf(two, narrow.scope)];
    if (global !== undefined || other !== undefined) return global === other ? renaming : undefined;
    if (wide.outer.has(one) !== narrow.outer.has(two)) return undefined;
    const known = renaming.to.get(one);
    if (known !== undefined || renaming.from.has(two)) return known === two ? renaming : undefined;
    return { to: new Map([...renaming.to, [one, two]]), from: new Map([...renaming.from, [two, one]]) };
  };

  return { match, search };
};

/** A condition and, where its operator does not care, the same with its sides turned. */
const orders = (wide: Expression, narrow: Expression): Expression[] => {
  const { terms } = narrow;
  if (!Array.isArray(terms) || terms.length !== 3 || everyOf(wide) !== undefined) return [narrow];
  const name = pathOf(terms[0])?.join('.');
  const [operator, left, right] = terms as [Term, Term, Term];
  return name === 'equal' || name === 'neq' ? [narrow, { ...narrow, terms: [operator, right, left] }] : [narrow];
};

const isTerm = (node: object): node is Term => 'type' in node && 'value' in node;

/** The operator and arguments of a call, as a term or as a condition. A condition under `with` is compared by its fields. */
const callOf = (node: object): Term[] | undefined => {
  if ('with' in node) return undefined;
  if ('terms' in node) return Array.isArray(node.terms) ? (node.terms as Term[]) : undefined;
  return isTerm(node) && node.type === 'call' ? (node.value as Term[]) : undefined;
};

const negationOf = (node: object): boolean => 'negated' in node && node.negated === true;

/** What is called: the path of a rule, or the name of a builtin function. */
const operatorOf = ([operator]: readonly Term[], scope: Scope): string => {
  const [head = '', ...rest] = pathOf(operator) ?? [];
  return pathKey([globalOf(head, scope) ?? head, ...rest]);
};

/** Fields that carry meaning, in a fixed order. */
const fieldsOf = (node: object): string[] =>
  Object.keys(node)
    .filter((key) => key !== 'location' && key !== 'index' && key !== 'generated')
    .sort();

/** What a name means outside of the rule; undefined for a variable. */
const globalOf = (name: string, { locals, names, program }: Scope): string | undefined => {
  if (locals.has(name)) return undefined;
  if (name === 'input' || name === 'data') return name;
  const imported = names.imports.get(name);
  if (imported !== undefined) return pathKey(imported);
  const own = [...names.package, name];
  return program.rules.has(pathKey(own)) ? pathKey(['data', ...own]) : undefined;
};

import { type Expression, type Location, pathOf, type Term, termOf } from './rego-ast.ts';
import type { Body } from './rego-bodies.ts';
import { memberOf, type Origin, originOf, type Scope } from './rego-origin.ts';

export type Constant = string | number | boolean | null;
export type Operator = 'equal' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte';

/** A comparison of a value with constants. `equal` to one of several is `x in {…}`. */
export interface Condition {
  /** The value; undefined when it is any member of a collection (`"a" in xs`), of which there are many. */
  readonly subject: Term | undefined;
  /** Where the value comes from. */
  readonly origin: Origin | undefined;
  /** As written, for people. */
  readonly spelt: string;
  readonly operator: Operator;
  readonly constants: readonly (Term & { location?: Location })[];
  readonly negated: boolean;
  readonly location: Location;
}

const OPERATORS: Readonly<Record<string, Operator>> = {
  equal: 'equal',
  eq: 'equal',
  neq: 'neq',
  lt: 'lt',
  lte: 'lte',
  gt: 'gt',
  gte: 'gte',
};
const TURNED: Readonly<Record<Operator, Operator>> = {
  equal: 'equal',
  neq: 'neq',
  lt: 'gt',
  lte: 'gte',
  gt: 'lt',
  gte: 'lte',
};

/** The comparisons of a body with constants. One under `with` speaks of another input, and is left out. */
export const conditionsOf = ({ expressions, scope }: Body): Condition[] =>
  expressions.flatMap((expression) => (expression.with === undefined ? conditionOf(expression, scope) : []));

const conditionOf = (expression: Expression, scope: Scope): Condition[] => {
  const { terms, negated = false, location } = expression;
  if (!Array.isArray(terms)) return [];
  const [first, left, right] = terms;
  const name = pathOf(first)?.join('.') ?? '';
  if (left === undefined || right === undefined) return [];
  const base = { negated, location };
  if (name === 'internal.member_2') {
    if (isConstant(left)) {
      const origin = memberOf(originOf(right, scope));
      return [{ ...base, subject: undefined, origin, spelt: spell(right), operator: 'equal', constants: [left] }];
    }
    const constants = constantsOf(right);
    if (constants === undefined) return [];
    return [
      { ...base, subject: left, origin: originOf(left, scope), spelt: spell(left), operator: 'equal', constants },
    ];
  }
  const operator = OPERATORS[name];
  if (operator === undefined || isConstant(left) === isConstant(right)) return [];
  const [subject, constant] = isConstant(right) ? [left, right] : [right, left];
  const turned = subject === left ? operator : TURNED[operator];
  const origin = originOf(subject, scope);
  return [{ ...base, subject, origin, spelt: spell(subject), operator: turned, constants: [constant] }];
};

export const isConstant = ({ type }: Term): boolean =>
  type === 'string' || type === 'number' || type === 'boolean' || type === 'null';

/** A constant's value. The compiler writes null as an empty object. */
export const constantValueOf = ({ type, value }: Term): Constant => (type === 'null' ? null : (value as Constant));

/** The members of a set or array of constants. */
const constantsOf = ({ type, value }: Term): Term[] | undefined =>
  (type === 'set' || type === 'array') && (value as Term[]).every(isConstant) && (value as Term[]).length > 0
    ? (value as Term[])
    : undefined;

/** A reference as it is written; other terms in words. */
export const spell = (term: Term): string => {
  if (term.type === 'var') return String(term.value).startsWith('$') ? '_' : String(term.value);
  if (isConstant(term)) return JSON.stringify(constantValueOf(term));
  if (term.type !== 'ref') return 'this value';
  const [head, ...parts] = term.value as Term[];
  return [
    spell(head as Term),
    ...parts.map((part) =>
      part.type === 'string' && /^[A-Za-z_]\w*$/.test(String(part.value))
        ? `.${String(part.value)}`
        : `[${spell(part)}]`,
    ),
  ].join('');
};

/** An expression's one term, when it is one that asks for truth alone. */
export const truthOf = (expression: Expression): Term | undefined => {
  const term = termOf(expression);
  return term === undefined || isConstant(term) ? undefined : term;
};

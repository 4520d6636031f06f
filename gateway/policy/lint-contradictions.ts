import {
  type Condition,
  type Constant,
  conditionsOf,
  constantValueOf,
  isConstant,
  type Operator,
  spell,
  truthOf,
} from './lint-conditions.ts';
import { domainOf } from './lint-domain.ts';
import type { Report } from './lint-report.ts';
import { type Expression, pathOf, type Term, termOf } from './rego-ast.ts';
import type { Body } from './rego-bodies.ts';

/** Conditions of one body that no request can meet together, and ones that are false by themselves. */
export const lintContradictions = (bodies: readonly Body[], report: Report): void => {
  for (const body of bodies) {
    lintFalse(body, report);
    lintOpposites(body, report);
    lintRanges(body, report);
  }
};

const lintFalse = ({ expressions }: Body, report: Report): void => {
  for (const expression of expressions) {
    const { terms, negated = false, location } = expression;
    const truth = termOf(expression);
    const never = (why: string): void =>
      report(location, 'never-true', `${why}, so the rule never fires`, 'mend the condition, or remove the rule');
    if (truth?.type === 'boolean' && truth.value === negated)
      never(`${negated ? 'not ' : ''}${String(truth.value)} never holds`);
    if (!Array.isArray(terms) || negated || terms.length !== 3) continue;
    const operator = pathOf(terms[0])?.join('.') as Operator;
    const [, left, right] = terms as [Term, Term, Term];
    if (isConstant(left) && isConstant(right)) {
      if (left.type === right.type && compares(constantValueOf(left), operator, constantValueOf(right)) === false)
        never('two constants are compared, and this is false');
    } else if (['neq', 'lt', 'gt'].includes(operator) && keyOf(left) === keyOf(right))
      never(`${spell(left)} is compared with itself`);
  }
};

/** `x` and `not x`, of any condition; and a truth with its comparison to true or false. */
const lintOpposites = ({ expressions }: Body, report: Report): void => {
  const seen = new Map<string, Expression>();
  for (const expression of expressions) {
    if (expression.with !== undefined || (!Array.isArray(expression.terms) && truthOf(expression) === undefined))
      continue;
    const { key, negated } = truthKey(expression);
    const opposite = seen.get(`${!negated} ${key}`);
    seen.set(`${negated} ${key}`, expression);
    if (opposite === undefined) continue;
    const why = `this is the opposite of the condition in line ${opposite.location.row}, so the rule never fires`;
    report(expression.location, 'contradiction', why, FIX);
  }
};

const FIX = 'remove one of the conditions, or make two rules of it';

/** `x == true` is as good as `x`, and `x == false` denies it. */
const truthKey = (expression: Expression): { key: string; negated: boolean } => {
  const { terms, negated = false } = expression;
  if (!Array.isArray(terms)) return { key: keyOf(terms), negated };
  const [operator, left, right] = terms;
  if (!negated && pathOf(operator)?.join('.') === 'equal' && right?.type === 'boolean')
    return { key: keyOf(left), negated: right.value === false };
  return { key: keyOf(terms), negated };
};

interface Range {
  spelt: string;
  /** What it may still be, where that can be listed. */
  values?: readonly Constant[];
  conditions: Condition[];
}

const lintRanges = (body: Body, report: Report): void => {
  const ranges = new Map<string, Range>();
  for (const condition of conditionsOf(body)) {
    const { subject, spelt, location } = condition;
    if (subject === undefined || condition.constants.some(({ type }) => type === 'boolean')) continue;
    // `not x < 5` is undefined, and not true, where x is: it says nothing that could be held against it here.
    if (condition.negated && condition.operator !== 'equal') continue;
    const key = keyOf(subject);
    const range = ranges.get(key) ?? { spelt, conditions: [], ...enumOf(condition) };
    ranges.set(key, range);
    const before = range.conditions.at(-1);
    range.conditions.push(condition);
    if (before === undefined || isPossible(range)) continue;
    ranges.delete(key); // once is enough
    const why = `no ${spelt} meets this and the condition in line ${before.location.row}, so the rule never fires`;
    report(location, 'contradiction', why, FIX);
  }
};

const enumOf = ({ origin }: Condition): Pick<Range, 'values'> => {
  if (origin === undefined || !('path' in origin) || origin.path[0] !== 'input') return {};
  const domain = domainOf(origin.path);
  const [only] = domain;
  return domain.length === 1 && only?.enum !== undefined ? { values: only.enum } : {};
};

const isPossible = ({ values, conditions }: Range): boolean => {
  const listed = conditions.filter(({ operator, negated }) => operator === 'equal' && !negated);
  const [first] = listed;
  const candidates = first === undefined ? values : first.constants.map(constantValueOf);
  if (candidates !== undefined)
    return candidates.some((value) => conditions.every((condition) => meets(value, condition)));
  // Without a list: a lower bound above an upper one.
  const bounds = (operators: readonly Operator[]): Condition[] =>
    conditions.filter(({ operator }) => operators.includes(operator));
  return bounds(['gt', 'gte']).every((low) => bounds(['lt', 'lte']).every((high) => overlap(low, high)));
};

const meets = (value: Constant, { operator, constants, negated }: Condition): boolean => {
  const held = constants.map((constant) => compares(value, operator, constantValueOf(constant)));
  return negated ? held.every((holds) => holds !== true) : held.some((holds) => holds !== false);
};

const overlap = (low: Condition, high: Condition): boolean => {
  const [from, to] = [low, high].map(({ constants: [constant] }) =>
    constant === undefined ? null : constantValueOf(constant),
  ) as [Constant, Constant];
  if (typeof from !== typeof to) return true;
  const strict = low.operator === 'gt' || high.operator === 'lt';
  return compares(from, strict ? 'lt' : 'lte', to) !== false;
};

/** Whether two constants compare so; undefined where their types differ, which Rego orders, or JavaScript orders otherwise. */
const compares = (left: Constant, operator: Operator, right: Constant): boolean | undefined => {
  if (operator === 'equal') return left === right;
  if (operator === 'neq') return left !== right;
  if (typeof left !== typeof right || left === null || right === null || typeof left === 'boolean') return undefined;
  // Rego orders strings by bytes: so does JavaScript where all are ASCII.
  if ([left, right].some((side) => typeof side === 'string' && /[^ -~]/.test(side))) return undefined;
  if (operator === 'lt') return left < right;
  if (operator === 'lte') return left <= right;
  if (operator === 'gt') return left > right;
  return operator === 'gte' ? left >= right : undefined;
};

/** Two terms with one key have one value wherever both are evaluated in the same body: `_` is another each time. */
const keyOf = (node: unknown): string =>
  JSON.stringify(node, (name, value: unknown) => (name === 'location' ? undefined : value));

import { COMPREHENSIONS, type Comprehension, type Expression, type Rule, someOf, type Term } from './rego-ast.ts';
import { type Names, type Program, pathKey } from './rego-program.ts';

/**
 * Where a value comes from: a path below `input` or `data` in which `*` stands for a part that is not constant, or a
 * collection whose members come from somewhere.
 */
export type Origin = { readonly path: readonly string[] } | { readonly members: Origin };

/** What names mean at a place of a rule. */
export interface Scope {
  readonly program: Program;
  readonly names: Names;
  /** Variables of the rule, with their origin where it is known. */
  readonly locals: ReadonlyMap<string, () => Origin | undefined>;
  /** Rules that are being traced: one that leads to itself has no origin. */
  readonly tracing: ReadonlySet<string>;
}

/** The origin of a term; undefined for what is computed, or comes from more than one place. */
export const originOf = (term: Term | undefined | null, scope: Scope): Origin | undefined => {
  if (!term) return undefined;
  if (term.type === 'var') return originOfHead(String(term.value), scope);
  if (term.type === 'ref') {
    const [head, ...parts] = term.value as Term[];
    let origin = head === undefined ? undefined : originOfHead(String(head.value), scope);
    for (const part of parts) {
      if (origin === undefined) return undefined;
      origin = within(origin, part.type === 'string' ? String(part.value) : '*', scope);
    }
    return origin;
  }
  if (term.type === 'arraycomprehension' || term.type === 'setcomprehension') {
    const { term: member, body } = term.value as Comprehension;
    const members = originOf(member, scopeOfBody(body, scope));
    return members && { members };
  }
  if (term.type === 'call') {
    const [operator, argument] = term.value as Term[];
    const isSort = operator?.type === 'ref' && (operator.value as Term[])[0]?.value === 'sort';
    return isSort ? originOf(argument, scope) : undefined;
  }
  return undefined;
};

/** The origin of a collection's members. */
export const memberOf = (origin: Origin | undefined): Origin | undefined => {
  if (origin === undefined) return undefined;
  return 'members' in origin ? origin.members : { path: [...origin.path, '*'] };
};

/** A scope with the variables that a body declares: by `:=`, `some`, `every`. */
export const scopeOfBody = (body: readonly Expression[], outer: Scope): Scope => {
  const locals = new Map(outer.locals);
  const scope: Scope = { ...outer, locals };
  for (const expression of body) {
    for (const [name, origin] of declarationsOf(expression, scope))
      locals.set(name, locals.has(name) && !outer.locals.has(name) ? unknown : origin);
  }
  return scope;
};

/** The scope of a rule's body: its arguments are of unknown origin. */
export const scopeOfRule = (
  rule: Rule,
  program: Program,
  names: Names,
  tracing: ReadonlySet<string> = new Set(),
): Scope => {
  const locals = new Map<string, () => Origin | undefined>();
  for (const argument of rule.head.args ?? []) for (const name of variablesOf(argument)) locals.set(name, unknown);
  return scopeOfBody(rule.body ?? [], { program, names, locals, tracing });
};

/** The variables below a term, comprehensions excluded. */
export const variablesOf = (term: Term): string[] => {
  if (term.type === 'var') return [String(term.value)];
  if (COMPREHENSIONS.has(term.type) || !Array.isArray(term.value)) return [];
  return (term.value as (Term | Term[])[]).flat().flatMap(variablesOf);
};

const unknown = (): undefined => undefined;

const declarationsOf = (expression: Expression, scope: Scope): [string, () => Origin | undefined][] => {
  const { terms } = expression;
  if (Array.isArray(terms)) {
    const [operator, target, value] = terms;
    if (operatorName(operator) !== 'assign' || target === undefined) return [];
    if (target.type === 'var') return [[String(target.value), () => originOf(value, scope)]];
    return variablesOf(target).map((name) => [name, unknown]);
  }
  const [symbol] = someOf(expression)?.symbols ?? [];
  if (symbol?.type !== 'call')
    return (someOf(expression)?.symbols ?? []).flatMap(variablesOf).map((name) => [name, unknown]);
  const [operator, ...args] = symbol.value as Term[];
  const collection = args.at(-1);
  const member = operatorName(operator) === 'internal.member_3' ? args[1] : args[0];
  return args.slice(0, -1).flatMap((argument) => {
    const isMember = argument === member && argument.type === 'var';
    return variablesOf(argument).map((name): [string, () => Origin | undefined] => [
      name,
      isMember ? () => memberOf(originOf(collection, scope)) : unknown,
    ]);
  });
};

const operatorName = (term: Term | undefined): string =>
  term?.type === 'ref' ? (term.value as Term[]).map(({ value }) => String(value)).join('.') : '';

const originOfHead = (name: string, scope: Scope): Origin | undefined => {
  const local = scope.locals.get(name);
  if (local !== undefined) return local();
  if (name === 'input' || name === 'data') return { path: [name] };
  const imported = scope.names.imports.get(name);
  const own = [...scope.names.package, name];
  if (imported === undefined && !scope.program.rules.has(pathKey(own))) return undefined;
  let origin: Origin | undefined;
  for (const part of imported ?? ['data', ...own]) {
    origin = origin === undefined ? { path: [part] } : within(origin, part, scope);
    if (origin === undefined) return undefined;
  }
  return origin;
};

/** A part of a value; where that is a rule, where the rule's value comes from. */
const within = (origin: Origin, part: string, scope: Scope): Origin | undefined => {
  if ('members' in origin) return origin.members;
  const path = [...origin.path, part];
  if (path[0] !== 'data') return { path };
  const key = pathKey(path.slice(1));
  return scope.program.rules.has(key) ? originOfRule(key, scope) : { path };
};

/** Where a rule's value comes from, when it has one body and no default. */
const originOfRule = (key: string, { program, tracing }: Scope): Origin | undefined => {
  const [definition, another] = program.rules.get(key) ?? [];
  if (definition === undefined || another !== undefined || tracing.has(key)) return undefined;
  const { rule, names } = definition;
  const { key: member, value, args, ref = [] } = rule.head;
  if (rule.else !== undefined || args !== undefined || ref.length > 1) return undefined;
  const scope = scopeOfRule(rule, program, names, new Set([...tracing, key]));
  if (member === undefined) return originOf(value, scope);
  const members = originOf(member, scope);
  return members && { members };
};

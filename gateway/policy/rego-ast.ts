/** The parts of the compiler's syntax tree (`opa parse -f json --json-include locations`) that the lints look at. */
export interface Location {
  row: number;
  col: number;
}

export interface Term {
  type: string;
  value: unknown;
  location?: Location;
}

export interface Expression {
  negated?: boolean;
  /** A call or comparison is a list, its operator first; `some` and `every` are objects; anything else is one term. */
  terms: Term[] | Term | Some | Every;
  with?: unknown[];
  location: Location;
}

/** `some x` (variables) or `some x in xs` (one call of internal.member_2 or member_3). */
export interface Some {
  symbols: Term[];
}

export interface Every {
  key: Term | null;
  value: Term;
  domain: Term;
  body: Expression[];
}

/** What a comprehension term has as value: `term` of arrays and sets, `key` and `value` of objects. */
export interface Comprehension {
  term?: Term;
  key?: Term;
  value?: Term;
  body: Expression[];
}

/** Terms with a body of their own. */
export const COMPREHENSIONS: ReadonlySet<string> = new Set([
  'arraycomprehension',
  'setcomprehension',
  'objectcomprehension',
]);

/** `some` or `every` of an expression; undefined for other ones. */
export const someOf = ({ terms }: Expression): Some | undefined => ('symbols' in terms ? terms : undefined);
export const everyOf = ({ terms }: Expression): Every | undefined => ('domain' in terms ? terms : undefined);
/** The one term of an expression that is neither a call nor `some` nor `every`. */
export const termOf = ({ terms }: Expression): Term | undefined =>
  !Array.isArray(terms) && 'type' in terms ? terms : undefined;

export interface Rule {
  default?: boolean;
  head: { name?: string; ref?: Term[]; args?: Term[]; key?: Term; value?: Term; location: Location };
  body?: Expression[];
  annotations?: { scope: string; title?: string; entrypoint?: boolean; custom?: { code?: unknown } }[];
  location: Location;
  else?: Rule;
}

export interface Import {
  path: Term;
  alias?: string;
}

export interface Module {
  package: { path: Term[] };
  imports?: Import[];
  rules?: Rule[];
}

/** Calls `see` with every term below `node`, outermost first. */
export const visitTerms = (node: unknown, see: (term: Term) => void): void => {
  if (Array.isArray(node)) {
    for (const item of node) visitTerms(item, see);
  } else if (typeof node === 'object' && node !== null) {
    if ('type' in node && typeof node.type === 'string') see(node as Term);
    for (const [key, item] of Object.entries(node)) {
      if (key !== 'location' && key !== 'annotations') visitTerms(item, see);
    }
  }
};

/** Calls `see` with every expression of a rule, those of comprehensions, `every` and `else` too. */
export const visitExpressions = (node: unknown, see: (expression: Expression) => void): void => {
  if (Array.isArray(node)) {
    for (const item of node) visitExpressions(item, see);
  } else if (typeof node === 'object' && node !== null) {
    if ('terms' in node && 'location' in node) see(node as Expression);
    for (const [key, item] of Object.entries(node)) {
      if (key !== 'location' && key !== 'annotations') visitExpressions(item, see);
    }
  }
};

/** A call anywhere: `f(x)` inside a term or as an expression, comparisons included. */
export interface Call {
  operator: string;
  args: Term[];
  location: Location;
}

/** Calls `see` with every call below `node`. */
export const visitCalls = (node: unknown, see: (call: Call) => void): void => {
  visitTerms(node, (term) => {
    if (term.type === 'call') report(term.value as Term[], see);
  });
  visitExpressions(node, ({ terms }) => {
    if (Array.isArray(terms)) report(terms, see);
  });
};

const report = ([operator, ...args]: Term[], see: (call: Call) => void): void => {
  if (operator?.location !== undefined)
    see({ operator: pathOf(operator)?.join('.') ?? '', args, location: operator.location });
};

/** The parts of a reference up to the first one that is not constant; undefined for other terms. */
export const pathOf = (term: Term | undefined): string[] | undefined => {
  if (term?.type === 'var') return [term.value as string];
  if (term?.type !== 'ref') return undefined;
  const [head, ...rest] = term.value as Term[];
  const end = rest.findIndex(({ type }) => type !== 'string');
  return [head, ...(end < 0 ? rest : rest.slice(0, end))].map((part) => part?.value as string);
};

/** A rule's own name, without its package. */
export const nameOf = (rule: Rule): string => (rule.head.ref?.[0]?.value as string | undefined) ?? rule.head.name ?? '';

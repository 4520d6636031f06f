import type { Rule, Term } from './rego-ast.ts';
import { type Definition, type Names, type Program, pathKey } from './rego-program.ts';

/** Parts of a path below `data`; `*` is any. */
type Pattern = readonly string[];

/** The paths of the rules that a reference to `pattern` reads: those below it, at it, or that it reaches into. */
export const matchingRules = (pattern: Pattern, { rules }: Program): string[] =>
  [...rules.keys()].filter((key) =>
    key.split('\u0000').every((part, at) => at >= pattern.length || pattern[at] === '*' || pattern[at] === part),
  );

/** The rules that `roots` depend on, themselves included, by path. */
export const reachableRules = (roots: readonly string[], program: Program): Set<string> => {
  const reached = new Set<string>();
  const queue = roots.filter((root) => program.rules.has(root));
  for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
    if (reached.has(key)) continue;
    reached.add(key);
    for (const definition of program.rules.get(key) ?? []) {
      for (const pattern of patternsOf(definition, program)) queue.push(...matchingRules(pattern, program));
    }
  }
  return reached;
};

/** What a rule reads below `data`. A variable that has the name of a rule counts as the rule. */
const patternsOf = ({ rule, names }: Definition, program: Program): Pattern[] => {
  const patterns: Pattern[] = [];
  const see = (node: unknown): void => {
    if (Array.isArray(node)) {
      for (const item of node) see(item);
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    const { type, value } = node as Partial<Term>;
    const [head, ...parts] = type === 'ref' ? (value as Term[]) : type === 'var' ? [node as Term] : [];
    const base = head?.type === 'var' ? pathOfHead(String(head.value), names, program) : undefined;
    if (base !== undefined)
      patterns.push([...base, ...parts.map((part) => (part.type === 'string' ? String(part.value) : '*'))]);
    for (const [key, item] of Object.entries(node)) {
      // The head of a reference is no use of all that is below it.
      if (key !== 'location' && key !== 'annotations')
        see(type === 'ref' && key === 'value' ? [...(head?.type === 'var' ? [] : [head]), ...parts] : item);
    }
  };
  see({ ...rule, head: headOf(rule) });
  return patterns;
};

/** A rule's head without its own name, which is no use of it. */
const headOf = ({ head }: Rule): object => ({ ...head, ref: head.ref?.slice(1) });

const pathOfHead = (name: string, names: Names, program: Program): Pattern | undefined => {
  if (name === 'data') return [];
  const imported = names.imports.get(name);
  if (imported !== undefined) return imported[0] === 'data' ? imported.slice(1) : undefined;
  const own = [...names.package, name];
  return program.rules.has(pathKey(own)) ? own : undefined;
};

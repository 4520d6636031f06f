import { type Module, nameOf, type Rule } from './rego-ast.ts';

/** A parsed module and the file it is from. */
export interface ParsedFile {
  readonly file: string;
  readonly module: Module;
}

/** What the head variable of a reference may mean in a module: its package, and what it imports by name. */
export interface Names {
  /** Below `data`. */
  readonly package: readonly string[];
  /** Whole paths, `data` or `input` first. */
  readonly imports: ReadonlyMap<string, readonly string[]>;
}

/** One body of a rule, where it stands. */
export interface Definition {
  readonly rule: Rule;
  readonly names: Names;
  readonly file: string;
}

/** Modules that are compiled together. */
export interface Program {
  readonly files: readonly (ParsedFile & { readonly names: Names })[];
  /** Each rule's definitions, the default among them, by path below `data`. */
  readonly rules: ReadonlyMap<string, readonly Definition[]>;
}

/** Joins parsed modules: a rule may have definitions in several files of its package. */
export const createProgram = (parsed: readonly ParsedFile[]): Program => {
  const rules = new Map<string, Definition[]>();
  const files = parsed.map(({ file, module }) => ({ file, module, names: namesOf(module) }));
  for (const { file, module, names } of files) {
    for (const rule of module.rules ?? []) {
      const path = pathKey([...names.package, nameOf(rule)]);
      const definitions = rules.get(path) ?? [];
      rules.set(path, [...definitions, { rule, names, file }]);
    }
  }
  return { files, rules };
};

/** A path as a key of maps; names may hold dots, not this. */
export const pathKey = (path: readonly string[]): string => path.join('\u0000');

const namesOf = ({ package: { path }, imports = [] }: Module): Names => ({
  package: path.slice(1).map(({ value }) => String(value)),
  imports: new Map(
    imports.map(({ path: imported, alias }) => {
      const parts = (imported.value as { value: unknown }[]).map(({ value }) => String(value));
      return [alias ?? parts.at(-1) ?? '', parts];
    }),
  ),
});

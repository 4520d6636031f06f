import type { Manifest } from '../types.gen.ts';
import type { Compiler } from './compiler.ts';
import { requireOpa } from './opa.ts';

/** Every rule that a decision may name, by its id: what `aegis explain` joins the fired rules with. */
export type ExplanationTable = Manifest['metadata']['aegis']['rules'];

interface Annotated {
  annotations: { title?: string; description?: string; custom?: { code?: unknown; id?: unknown } };
  location?: { file: string; row: number };
  path?: { value: string }[];
}

/**
 * Reads the METADATA of the rules below `<folder>/policies` with the compiler. A rule's id is its package and code, such
 * as `access.unknown_workflow` for the code `unknown_workflow` in package rules.access. Throws when two rules of one
 * package share a code.
 */
export const explanationTable = async (compiler: Compiler, folder: string): Promise<ExplanationTable> => {
  const output = await requireOpa(compiler, ['inspect', '-a', '-f', 'json', 'policies'], folder);
  const { annotations = [] } = JSON.parse(output) as { annotations?: Annotated[] };
  const rules: ExplanationTable = {};
  for (const { annotations: notes, location, path = [] } of annotations) {
    const code = notes.custom?.code;
    if (typeof code !== 'string' || location === undefined) continue;
    const id = ruleId(
      path.map(({ value }) => value),
      code,
    );
    const known = rules[id];
    if (known !== undefined) {
      throw new Error(`${location.file}:${location.row}: rule ${id} is also at ${known.file}:${known.line}`);
    }
    const { title = '', description = '' } = notes;
    rules[id] = { title, description, code, file: location.file, line: location.row };
  }
  return Object.fromEntries(Object.entries(rules).sort(([a], [b]) => (a < b ? -1 : 1)));
};

/** `path` is data, then the package, then the rule's name. */
const ruleId = (path: readonly string[], code: string): string => {
  const folders = path.slice(1, -1);
  return [...(folders[0] === 'rules' ? folders.slice(1) : folders), code].join('.');
};

import { ENTRYPOINTS } from './bundle.ts';
import type { Report } from './lint-report.ts';
import { type Program, pathKey } from './rego-program.ts';
import { reachableRules } from './rego-reach.ts';

/**
 * Rules that no decision depends on: neither an entry point, nor read by one, directly or through others. `deny`, `granted`
 * and `fired` of a folder are read by the frame. Without the frame nothing can be said.
 */
export const lintUnused = (program: Program, reportIn: (file: string) => Report): void => {
  const roots = ENTRYPOINTS.map((entrypoint) => pathKey(entrypoint.split('/')));
  for (const [key, definitions] of program.rules) {
    const annotated = definitions.some(({ rule }) => rule.annotations?.some(({ entrypoint }) => entrypoint === true));
    if (annotated) roots.push(key);
  }
  if (!roots.some((root) => program.rules.has(root))) return;
  const reached = reachableRules(roots, program);
  for (const [key, [definition]] of program.rules) {
    if (reached.has(key) || definition === undefined) continue;
    const why = `no decision depends on ${key.replaceAll('\u0000', '.')}: nothing that is decided reads it`;
    reportIn(definition.file)(
      definition.rule.location,
      'unused',
      why,
      'use it where it is meant to be read, or remove it',
    );
  }
};

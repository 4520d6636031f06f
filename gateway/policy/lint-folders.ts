import type { Remark } from './finding.ts';
import { nameOf } from './rego-ast.ts';
import type { ParsedFile } from './rego-program.ts';

/**
 * Folders of rules that can only deny. The frame asks `rules.<folder>.granted`; without `default granted := false` a fact
 * that is missing leaves the folder silent, and silence is no objection.
 */
export const lintFolders = (files: readonly ParsedFile[]): Remark[] => {
  const silent = new Map<string, ParsedFile>();
  const closed = new Set<string>();
  for (const parsed of files) {
    const [top, folder, below] = parsed.module.package.path.slice(1).map(({ value }) => value as string);
    const rules = parsed.module.rules ?? [];
    if (top !== 'rules' || folder === undefined || below !== undefined || rules.length === 0) continue;
    if (!silent.has(folder)) silent.set(folder, parsed);
    if (rules.some((rule) => rule.default && nameOf(rule) === 'granted' && rule.head.value?.value === false)) {
      closed.add(folder);
    }
  }
  return [...silent]
    .filter(([folder]) => !closed.has(folder))
    .map(([folder, { file, module }]) => ({
      file,
      line: module.package.path[0]?.location?.row ?? 1,
      check: 'no-grant',
      why: `rules.${folder} can only deny: with a field missing it says nothing, and the request goes through`,
      fix: 'default granted := false, and a granted that names the facts it needs',
    }));
};

import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { sourceFiles } from './build.ts';
import { checkNamed } from './check-catalogue.ts';
import { checkData } from './check-data.ts';
import { readData } from './check-data-files.ts';
import { checkFormat } from './check-format.ts';
import { checkNames } from './check-names.ts';
import { checkTypes } from './check-types.ts';
import type { Compiler } from './compiler.ts';
import type { Finding, Remark } from './finding.ts';
import { lintModules } from './lint.ts';
import { applyAcceptances } from './lint-accept.ts';
import { runOpa } from './opa.ts';
import type { Module } from './rego-ast.ts';
import type { ParsedFile } from './rego-program.ts';

export interface CheckOptions {
  /** The clock that retirement dates are held against, milliseconds since 1970. */
  nowMs?: number;
}

/**
 * All that can be said of policies without running them: format, types against the input schema, the fail-open traps,
 * rules that never fire, the data's shape and references. Findings in order of file and line; none means good. Throws only
 * when the compiler does not run. Time alone gives warnings, never errors.
 */
export const checkPolicies = async (
  policies: string,
  compiler: Compiler,
  { nowMs = Date.now() }: CheckOptions = {},
): Promise<Finding[]> => {
  const files = (await readdir(policies, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(policies.length + 1))
    .sort();
  const sources = await sourceFiles(policies);
  const rules = sources.filter((name) => name.endsWith('.rego'));
  const remarks: Remark[] = [];
  const [formatted, typed, named, parsed, data] = await Promise.all([
    checkFormat(policies, compiler),
    checkTypes(policies, files, compiler),
    checkNames(policies, files),
    parseAll(policies, rules, compiler),
    readData(
      policies,
      sources.filter((name) => !name.endsWith('.rego')),
      remarks,
    ),
  ]);
  const today = new Date(nowMs).toISOString().slice(0, 10);
  remarks.push(...formatted, ...typed, ...named, ...checkData(data, today));
  // A module that does not parse may read what the others define.
  remarks.push(...lintModules(parsed, { data: data.tables, today, complete: parsed.length === rules.length }));
  const texts = await Promise.all(
    sources.map(async (name) => ({
      file: `${basename(policies)}/${name}`,
      text: await readFile(join(policies, name), 'utf8'),
    })),
  );
  return applyAcceptances(remarks, texts)
    .map((remark) => ({ level: checkNamed(remark.check).level, ...remark }))
    .sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
};

/** Processes of the compiler at a time. */
const PARSERS = 4;

/** The rules' syntax trees, without those of files that do not parse: what is wrong with them, `opa check` says. */
const parseAll = async (policies: string, names: readonly string[], compiler: Compiler): Promise<ParsedFile[]> => {
  const parsed: ParsedFile[] = [];
  const queue = [...names];
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const args = ['parse', join(policies, name), '-f', 'json', '--json-include', 'locations'];
      const { code, stdout } = await runOpa(compiler, args, policies);
      if (code === 0) parsed.push({ file: `${basename(policies)}/${name}`, module: JSON.parse(stdout) as Module });
    }
  };
  await Promise.all(Array.from({ length: PARSERS }, work));
  return parsed.sort((a, b) => (a.file < b.file ? -1 : 1));
};

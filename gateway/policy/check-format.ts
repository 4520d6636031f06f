import { basename, dirname } from 'node:path';
import type { Compiler } from './compiler.ts';
import type { Remark } from './finding.ts';
import { runOpa } from './opa.ts';

/** Files that `opa fmt` would write otherwise. Throws an Error when the compiler does not run. */
export const checkFormat = async (policies: string, compiler: Compiler): Promise<Remark[]> => {
  const { stdout, code, stderr } = await runOpa(
    compiler,
    ['fmt', '--fail', '--list', basename(policies)],
    dirname(policies),
  );
  if (code !== 0 && stdout.trim() === '' && !stderr.includes('parse error')) throw new Error(stderr.trim());
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((file) => ({ file, line: 0, check: 'format', why: 'it is not formatted', fix: `opa fmt --write ${file}` }));
};

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
  // What does not parse, checkTypes tells with its place.
  if (code !== 0 && stdout.trim() === '' && !stderr.includes('rego_parse_error')) throw new Error(stderr.trim());
  const command = compiler.path === 'opa' ? 'opa' : '.tools/opa';
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((file) => ({
      file,
      line: 0,
      check: 'format',
      why: 'it is not formatted',
      fix: `${command} fmt --write ${file}`,
    }));
};

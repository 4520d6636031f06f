import { execFile } from 'node:child_process';
import type { Compiler } from './compiler.ts';

/** What a run of the compiler gave. */
export interface OpaRun {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the compiler in a folder. A finding is an exit code, not an exception; only a compiler that cannot run throws. */
export const runOpa = (compiler: Compiler, args: readonly string[], cwd: string): Promise<OpaRun> =>
  new Promise((resolve, reject) => {
    // The compiler reads OPA_… variables as flags: those of the caller's shell must not change what is compiled.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OPA_')));
    execFile(compiler.path, args, { cwd, env, maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve({ code: error === null ? 0 : (error.code as unknown as number), stdout, stderr });
    });
  });

/** As runOpa, and throws an Error with the compiler's own words when it fails. */
export const requireOpa = async (compiler: Compiler, args: readonly string[], cwd: string): Promise<string> => {
  const { code, stdout, stderr } = await runOpa(compiler, args, cwd);
  if (code !== 0) throw new Error((stderr || stdout).trim() || `opa ${args[0]} failed with ${code}`);
  return stdout;
};

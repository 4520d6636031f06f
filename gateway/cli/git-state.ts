import { execFile } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import { sourceFiles } from '../policy/build.ts';

const run = promisify(execFile);

/** What git says of a folder of policies. */
export interface GitState {
  /** The commit that is checked out, in hex. */
  readonly commit: string;
  /** Files of the working tree that are not as in that commit, from the repository's root; sorted. */
  readonly changed: readonly string[];
}

/**
 * Asks git for the state of the working tree that `policies` is in. `ours` are files that do not count as changes: those
 * that the caller writes itself. A source of the policies counts also when git is told to ignore it. Throws an Error when
 * there is no git, no repository or no commit.
 */
export const gitStateOf = async (policies: string, ours: readonly string[]): Promise<GitState> => {
  const folder = await realpath(policies);
  const root = (await git(folder, 'rev-parse', '--show-toplevel')).trim();
  const commit = (await git(folder, 'rev-parse', '--verify', 'HEAD')).trim();
  const nameOf = (file: string): string => relative(root, file).split(sep).join('/');
  const tracked = new Set(split(await git(root, 'ls-files', '-z', '--', nameOf(folder) || '.')));
  const status = split(await git(root, 'status', '--porcelain=v1', '-z', '--no-renames', '--untracked-files=all'));
  const changed = new Set(status.map((line) => line.slice(3)));
  for (const source of await sourceFiles(folder)) {
    const name = nameOf(join(folder, source));
    if (!tracked.has(name)) changed.add(name);
  }
  for (const file of ours) changed.delete(nameOf(await realpath(file).catch(() => file)));
  return { commit, changed: [...changed].sort() };
};

const split = (text: string): string[] => text.split('\0').filter((part) => part !== '');

const git = async (folder: string, ...args: string[]): Promise<string> => {
  try {
    const { stdout } = await run('git', args, { cwd: folder, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    const why = code === 'ENOENT' ? 'git is not on PATH' : (stderr?.trim().split('\n')[0] ?? String(error));
    throw new Error(`${folder}: a release says which commit it is made from, and git cannot: ${why}`, { cause: error });
  }
};

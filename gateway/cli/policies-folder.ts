import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CliError } from './cli-error.ts';

/** The absolute path of a folder of policies. Throws a CliError when there is none. */
export const policiesFolder = async (path: string): Promise<string> => {
  const folder = resolve(path);
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new CliError(`${path} is no folder: name the folder of the policies`);
  return folder;
};

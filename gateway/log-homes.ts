import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/*
 * Several processes may serve from one home (`aegis serve --workers`). They share its store and its secrets; each has a
 * folder of its own for what only one may write: its audit log and its last known good bundle.
 */

const FOLDER = 'workers';

/** Where a worker keeps what is its own: the first in the home itself, the others in `workers/1`, `workers/2` … */
export const logHomeOf = (home: string, worker: number): string =>
  worker === 0 ? home : join(home, FOLDER, String(worker));

/** Every folder of a home that holds an audit log, the home's own first. Those of workers that no longer run are among them. */
export const logHomesIn = (home: string): string[] => {
  let names: string[] = [];
  try {
    names = readdirSync(join(home, FOLDER)).filter((name) => /^[1-9]\d{0,3}$/.test(name));
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
  const workers = names.map(Number).sort((a, b) => a - b);
  return [home, ...workers.map((worker) => logHomeOf(home, worker))].filter((folder) =>
    existsSync(join(folder, 'audit', 'chain')),
  );
};

import { resolve } from 'node:path';

/** The folder of the store and the audit log: `--home`, else AEGIS_HOME, else .aegis. */
export const homeOf = (option: string | undefined): string => resolve(option ?? process.env.AEGIS_HOME ?? '.aegis');

import { existsSync } from 'node:fs';
import { auditLayout } from '../audit/layout.ts';
import { CliError } from './cli-error.ts';
import { homeOf } from './home.ts';

/** The home whose audit log a command reads, as homeOf finds it. Throws CliError when it has no audit log. */
export const auditHome = (flag: string | undefined): string => {
  const home = homeOf(flag);
  if (existsSync(auditLayout(home).chain)) return home;
  throw new CliError(`there is no audit log in ${home} (choose another home with --home or AEGIS_HOME)`);
};

import { type FoundDecision, findDecision } from '../audit/find.ts';
import { logHomesIn } from '../log-homes.ts';
import { CliError } from './cli-error.ts';
import { homeOf } from './home.ts';

/** The folders whose audit logs a command reads: one a process that served from the home. Throws CliError when there is none. */
export const auditHomes = (flag: string | undefined): readonly string[] => {
  const home = homeOf(flag);
  const homes = logHomesIn(home);
  if (homes.length > 0) return homes;
  throw new CliError(`there is no audit log in ${home} (choose another home with --home or AEGIS_HOME)`);
};

/** A decision and the folder whose log has it. */
export interface LoggedDecision {
  readonly home: string;
  readonly found: FoundDecision;
}

/** The decision of that id. Throws CliError when no log has it. */
export const requireDecision = async (homes: readonly string[], id: string): Promise<LoggedDecision> => {
  for (const home of homes) {
    const found = await findDecision(home, id);
    if (found) return { home, found };
  }
  throw new CliError(`the audit log in ${homes[0]} has no decision ${id}`);
};

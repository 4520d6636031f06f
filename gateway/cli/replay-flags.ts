import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { parse } from 'yaml';
import type { DecisionRange } from '../replay/decision-source.ts';
import { GUARDS, type GuardLimits, parseGuards } from '../replay/guards.ts';
import { parseSince } from './audit-since.ts';
import { CliError } from './cli-error.ts';

/** The flags of `aegis replay` as commander gives them. Those of guards come by their names. */
export interface ReplayFlags {
  bundle?: string;
  against?: string;
  prices?: string;
  since?: string;
  until?: string;
  home?: string;
  store?: true;
  config?: string;
  org?: string;
  sample?: string;
  key?: string[];
  unsigned?: true;
  reExecute?: true;
  threads?: string;
  guards?: string | false;
  names: boolean;
  markdown?: string;
  json?: true;
  [guard: string]: unknown;
}

/** Where guards are looked for when no file is named. */
const GUARDS_FILE = 'policies/replay.yaml';

/** `max_new_denials` as `--max-new-denials`. */
const flagOf = (guard: string): string => `--${guard.replaceAll('_', '-')}`;

/** Adds a flag for each guard. */
export const withGuardFlags = (command: Command): Command => {
  for (const [name, { what, kind }] of Object.entries(GUARDS)) {
    const limit = kind === 'cost' ? '5%' : kind === 'least' ? '1000' : '10 or 0.1%';
    command.option(`${flagOf(name)} <limit>`, `guard: ${what}, such as ${limit}`);
  }
  return command;
};

/** The guards of the file with those of the command line laid over. Throws CliError for a file that cannot be read. */
export const guardsOf = async (flags: ReplayFlags): Promise<GuardLimits> => {
  const given: Record<string, unknown> = {};
  for (const name of Object.keys(GUARDS)) {
    const text = flags[name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())];
    if (typeof text === 'string') given[name] = /^\d+$/.test(text) ? Number(text) : text;
  }
  return { ...(await fileGuards(flags)), ...parseGuards(given) };
};

const fileGuards = async ({ guards }: ReplayFlags): Promise<GuardLimits> => {
  if (guards === false || (guards === undefined && !existsSync(GUARDS_FILE))) return {};
  const file = guards ?? GUARDS_FILE;
  try {
    return parseGuards(parse(await readFile(file, 'utf8')));
  } catch (error) {
    throw new CliError(`${file}: ${String((error as { message?: unknown }).message ?? error)}`);
  }
};

/** The moments between which decisions are wanted. Throws CliError. */
export const rangeOf = ({ since, until }: ReplayFlags, now: number): DecisionRange => {
  const at = (text: string | undefined, flag: string): number | undefined => {
    if (text === undefined) return undefined;
    try {
      return parseSince(text, now);
    } catch {
      throw new CliError(`${flag} takes a date, an RFC 3339 time, or an age such as 7d, not ${JSON.stringify(text)}`);
    }
  };
  const range = { sinceMs: at(since, '--since'), untilMs: at(until, '--until') };
  if (range.sinceMs !== undefined && range.untilMs !== undefined && range.sinceMs >= range.untilMs) {
    throw new CliError('--since lies behind --until');
  }
  return range;
};

/** A share above 0 to 1, of a text such as `10%`. Throws CliError. */
export const sampleOf = ({ sample }: ReplayFlags): number => {
  if (sample === undefined) return 1;
  const share = /^\d{1,3}(\.\d{1,6})?%$/.test(sample) ? Number(sample.slice(0, -1)) / 100 : Number.NaN;
  if (share > 0 && share <= 1) return share;
  throw new CliError(`--sample takes a share above 0% to 100%, such as 10%, not ${JSON.stringify(sample)}`);
};

/** Threads: one a core unless told otherwise. Throws CliError. */
export const threadsOf = ({ threads }: ReplayFlags): number => {
  const number = threads === undefined ? Math.min(availableParallelism(), 64) : Number(threads);
  if (Number.isInteger(number) && number >= 1 && number <= 64) return number;
  throw new CliError(`--threads takes a number from 1 to 64, not ${JSON.stringify(threads)}`);
};

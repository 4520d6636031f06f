import { CliError } from './cli-error.ts';
import { parseDuration } from './duration.ts';

/** A moment in milliseconds since 1970, from a date, an RFC 3339 time or an age. Throws CliError. */
export const parseSince = (text: string, now: number): number => {
  const age = parseDuration(text);
  const moment = age === undefined ? Date.parse(text) : now - age;
  if (/^\d/.test(text) && !Number.isNaN(moment)) return moment;
  throw new CliError(`--since takes a date, an RFC 3339 time, or an age such as 7d, not ${JSON.stringify(text)}`);
};

import { InvalidArgumentError } from 'commander';

const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** A moment in milliseconds since 1970, from a date, an RFC 3339 time or an age. Throws InvalidArgumentError. */
export const parseSince = (text: string, now: number): number => {
  const age = /^(\d{1,6})([mhdw])$/.exec(text);
  const moment = age ? now - Number(age[1]) * (UNITS[age[2] as string] as number) : Date.parse(text);
  if (!/^\d/.test(text) || Number.isNaN(moment)) {
    throw new InvalidArgumentError(
      `--since takes a date, an RFC 3339 time, or an age such as 7d, not ${JSON.stringify(text)}`,
    );
  }
  return moment;
};

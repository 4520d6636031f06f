import { type DayRange, shiftDay } from './usage.ts';

/** How the two are called where they are asked for. */
const OPTIONS = { since: '--since', until: '--until' } as const;

/** The first and the last day of a report, UTC, both included. Throws RangeError, in the words of `names`. */
export const parseRange = (
  since: string,
  until: string | undefined,
  now: number,
  names: Readonly<Record<'since' | 'until', string>> = OPTIONS,
): DayRange => {
  const today = new Date(now).toISOString().slice(0, 10);
  const lastDay = until === undefined ? today : dayOf(until, names.until, names);
  const days = /^(\d{1,4})d$/.exec(since);
  if (days && Number(days[1]) < 1) throw new RangeError(`${names.since}: 1d is the least, and means today`);
  const firstDay = days ? shiftDay(lastDay, 1 - Number(days[1])) : dayOf(since, names.since, names);
  if (!DAY.test(firstDay)) throw new RangeError(`${names.since}: ${since} goes back before the year 0`);
  if (firstDay > lastDay) throw new RangeError(`${names.since} ${firstDay} is after ${names.until} ${lastDay}`);
  return { firstDay, lastDay };
};

/** The range of the same length right before. */
export const rangeBefore = ({ firstDay, lastDay }: DayRange): DayRange => {
  const days = Math.round((Date.parse(lastDay) - Date.parse(firstDay)) / 86_400_000) + 1;
  return { firstDay: shiftDay(firstDay, -days), lastDay: shiftDay(firstDay, -1) };
};

const DAY = /^\d{4}-\d{2}-\d{2}$/;

const dayOf = (text: string, option: string, names: { readonly since: string }): string => {
  const time = Date.parse(`${text}T00:00:00Z`);
  if (DAY.test(text) && !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)) return text;
  throw new RangeError(
    `${option}: "${text}" is neither a day such as 2026-11-01 nor, for ${names.since}, a number of days such as 7d`,
  );
};

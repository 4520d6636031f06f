/** One day or month of a time zone. `key` is `2026-11-24` or `2026-11`; the end is exclusive, milliseconds. */
export interface CalendarPeriod {
  readonly key: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** The period that contains `now` in an IANA time zone. Throws RangeError on a zone that does not exist. */
export type Calendar = (period: 'day' | 'month', timezone: string, now: number) => CalendarPeriod;

/** Widest distance of a local midnight from the same midnight in UTC: zones reach from -12 to +14, and once skipped a day. */
const SEARCH_MS = 40 * 3_600_000;

interface Zone {
  readonly format: Intl.DateTimeFormat;
  day: CalendarPeriod | undefined;
  month: CalendarPeriod | undefined;
}

/** A calendar that remembers the current day and month of each zone, because Intl costs microseconds. */
export const createCalendar = (): Calendar => {
  const zones = new Map<string, Zone>();
  return (period, timezone, now) => {
    let zone = zones.get(timezone);
    if (zone === undefined) {
      zone = { format: formatOf(timezone), day: undefined, month: undefined };
      zones.set(timezone, zone);
    }
    const known = zone[period];
    if (known !== undefined && now >= known.startMs && now < known.endMs) return known;
    const found = period === 'day' ? dayOf(zone.format, now) : monthOf(zone.format, now);
    zone[period] = found;
    return found;
  };
};

const formatOf = (timezone: string): Intl.DateTimeFormat =>
  new Intl.DateTimeFormat('en-US-u-ca-iso8601-nu-latn', {
    timeZone: timezone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  });

/** The local date as a number that sorts as dates do: 20261124. */
const localDate = (format: Intl.DateTimeFormat, at: number): number => {
  let year = 0;
  let month = 0;
  let day = 0;
  for (const part of format.formatToParts(at)) {
    if (part.type === 'year') year = Number(part.value);
    else if (part.type === 'month') month = Number(part.value);
    else if (part.type === 'day') day = Number(part.value);
  }
  return year * 10_000 + month * 100 + day;
};

/** The first instant of a local date. Where a clock change removes midnight, that is the first instant after the gap. */
const startOf = (format: Intl.DateTimeFormat, year: number, month: number, day: number): number => {
  const utcMidnight = Date.UTC(year, month - 1, day);
  const normal = new Date(utcMidnight);
  const target = normal.getUTCFullYear() * 10_000 + (normal.getUTCMonth() + 1) * 100 + normal.getUTCDate();
  let before = utcMidnight - SEARCH_MS;
  let after = utcMidnight + SEARCH_MS;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (localDate(format, middle) >= target) after = middle;
    else before = middle;
  }
  return after;
};

const dayOf = (format: Intl.DateTimeFormat, now: number): CalendarPeriod => {
  const date = localDate(format, now);
  const [year, month, day] = [Math.floor(date / 10_000), Math.floor(date / 100) % 100, date % 100];
  return {
    key: `${year}-${two(month)}-${two(day)}`,
    startMs: startOf(format, year, month, day),
    endMs: startOf(format, year, month, day + 1),
  };
};

const monthOf = (format: Intl.DateTimeFormat, now: number): CalendarPeriod => {
  const date = localDate(format, now);
  const [year, month] = [Math.floor(date / 10_000), Math.floor(date / 100) % 100];
  return {
    key: `${year}-${two(month)}`,
    startMs: startOf(format, year, month, 1),
    endMs: startOf(format, year, month + 1, 1),
  };
};

const two = (value: number): string => String(value).padStart(2, '0');

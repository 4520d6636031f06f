/** Something about an experiment or a mirror that its schema cannot say. */
export interface ExperimentProblem {
  path: string[];
  check: 'experiment' | 'overlap';
  why: string;
  fix: string;
}

type Table = Readonly<Record<string, unknown>>;

/**
 * Experiments that cannot be: shares over 100, times that are none, an end that is no later than the start. And pairs that could meet in one
 * request: of those it belongs to the first alone, and where unit and salt are the same, one decides who is in the other.
 */
export const experimentProblems = (data: Table): ExperimentProblem[] => {
  const experiments = Object.entries(tableOf(data.experiments)).map(([id, row]) => ({ id, row: tableOf(row) }));
  const sorted = experiments.sort((a, b) => (a.id < b.id ? -1 : 1));
  return [
    ...sorted.flatMap(({ id, row }) => impossible(['experiments', id], row)),
    ...sorted.flatMap((first, at) => sorted.slice(at + 1).flatMap((second) => meeting(first, second))),
    ...mirrorsAlike(data),
  ];
};

const impossible = (path: string[], { start, end, arms }: Table): ExperimentProblem[] => {
  const found: ExperimentProblem[] = [];
  for (const [name, time] of Object.entries({ start, end })) {
    if (typeof time !== 'string' || isTime(time)) continue;
    const why = `${path.join('.')}: its ${name} ${time} is no time: rules compare it as text, and its guards are not watched`;
    found.push({ path: [...path, name], check: 'experiment', why, fix: 'a day and an hour that there are, in UTC' });
  }
  if (typeof start === 'string' && typeof end === 'string' && end <= start) {
    const why = `${path.join('.')}: it ends at ${end}, no later than it starts: nobody ever takes part`;
    found.push({ path: [...path, 'end'], check: 'experiment', why, fix: `an end after ${start}` });
  }
  const shares = Object.values(tableOf(arms)).map((arm) => Number(tableOf(arm).share));
  const hundredths = shares.reduce((sum, share) => sum + Math.round(share * 100), 0);
  if (hundredths > 10_000) {
    const why = `${path.join('.')}: its shares come to ${hundredths / 100} %: the last arms get less than theirs`;
    found.push({ path: [...path, 'arms'], check: 'experiment', why, fix: 'shares that come to 100 at most' });
  }
  return found;
};

/** Whether a time of the schema's pattern is in the calendar: JavaScript takes 30 February for 2 March. */
const isTime = (time: string): boolean => {
  const ms = Date.parse(time);
  return Number.isFinite(ms) && new Date(ms).toISOString() === time;
};

interface Named {
  id: string;
  row: Table;
}

const meeting = (first: Named, second: Named): ExperimentProblem[] => {
  if (!overlap(first.row, second.row) || !shareAudience(first.row, second.row)) return [];
  const path = ['experiments', second.id];
  const alike = first.row.salt === second.row.salt && first.row.unit === second.row.unit;
  const why = alike
    ? `${path.join('.')}: it draws as ${first.id} does, with the same salt, so the arm of one decides who is in the other`
    : `${path.join('.')}: it concerns requests that ${first.id} concerns too, and whom that draws takes no part in this`;
  const apart = 'times, organisations, workflows or tasks of its own';
  return [{ path, check: 'overlap', why, fix: alike ? `a salt of its own, or ${apart}` : apart }];
};

/** Mirrors that draw the same requests: the first by id gets them all. */
const mirrorsAlike = (data: Table): ExperimentProblem[] => {
  const mirrors = Object.entries(tableOf(data.mirrors)).map(([id, row]) => ({ id, row: tableOf(row) }));
  const sorted = mirrors.sort((a, b) => (a.id < b.id ? -1 : 1));
  return sorted.flatMap((first, at) =>
    sorted.slice(at + 1).flatMap(({ id, row }): ExperimentProblem[] => {
      if (row.salt !== first.row.salt || !shareAudience(first.row, row)) return [];
      const why = `mirrors.${id}: it draws as ${first.id} does, with the same salt, and a request has one mirror`;
      return [{ path: ['mirrors', id, 'salt'], check: 'overlap', why, fix: 'a salt of its own' }];
    }),
  );
};

const overlap = (a: Table, b: Table): boolean => String(a.start) < String(b.end) && String(b.start) < String(a.end);

/** Whether one request could be of both: in each list that both have, a name is in both. */
const shareAudience = (a: Table, b: Table): boolean =>
  ['organizations', 'workflows', 'tasks'].every((list) => {
    const [mine, theirs] = [a[list], b[list]];
    if (mine === undefined || theirs === undefined) return true;
    return Object.keys(tableOf(mine)).some((name) => Object.hasOwn(tableOf(theirs), name));
  });

const tableOf = (value: unknown): Table => (typeof value === 'object' && value !== null ? (value as Table) : {});

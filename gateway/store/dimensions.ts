/** What a report can be grouped by; `tag:course` is the tag named course. */
export type Dimension = (typeof DIMENSIONS)[number] | `tag:${string}`;

export const DIMENSIONS = [
  'org',
  'team',
  'user',
  'key',
  'use_case',
  'workflow',
  'model',
  'upstream',
  'endpoint',
  'day',
] as const;

/** The text of `--by` as dimensions. Throws RangeError that lists them all when one is unknown or named twice. */
export const parseDimensions = (text: string): Dimension[] => {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  for (const [i, name] of names.entries()) {
    if (!isDimension(name)) throw new RangeError(`unknown dimension "${name}"; there are ${listed}`);
    if (names.indexOf(name) !== i) throw new RangeError(`dimension "${name}" is named twice`);
  }
  return withOrg(names as Dimension[]);
};

const listed = `${DIMENSIONS.join(', ')} and tag:<name>`;

const isDimension = (name: string): name is Dimension =>
  (DIMENSIONS as readonly string[]).includes(name) || /^tag:./.test(name);

/** Teams and users of two organisations may share a name and are never one row, so their organisation is shown too. */
const withOrg = (names: Dimension[]): Dimension[] => {
  const first = names.findIndex((name) => name === 'team' || name === 'user');
  return first === -1 || names.includes('org') ? names : names.toSpliced(first, 0, 'org');
};

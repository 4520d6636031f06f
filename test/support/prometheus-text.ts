/** One sample of Prometheus' text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A family of samples under one HELP and TYPE. */
export interface FamilyText {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const TYPES = new Set(['counter', 'gauge', 'histogram', 'summary', 'untyped']);

/**
 * Reads Prometheus' text format 0.0.4 strictly, as `promtool check metrics` does: a grammar of its own, so that the
 * writer is not its own judge. Throws Error with the line that is wrong. Checked beyond the grammar: a family stands in
 * one piece with one HELP and one TYPE before its samples, no series is there twice, counters are never negative and
 * end in _total, and histograms are whole (cumulative buckets, +Inf equal to the count, a sum).
 */
export const parsePrometheus = (text: string): Map<string, FamilyText> => {
  if (!text.endsWith('\n')) throw new Error('the text does not end with a line feed');
  const families = new Map<string, { name: string; type: string; help: string; samples: Sample[] }>();
  const series = new Set<string>();
  let current: { name: string; type: string; help: string; samples: Sample[] } | undefined;
  const lines = text.split('\n');
  for (const [index, line] of lines.entries()) {
    const fail = (why: string): never => {
      throw new Error(`line ${index + 1}: ${why}: ${line}`);
    };
    if (line === '') continue;
    if (line.startsWith('#')) {
      const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE|UNIT) (\S+) ?(.*)$/.exec(line) ?? [];
      if (keyword === undefined) fail('a comment of no meaning');
      if (!NAME.test(name)) fail('not a name');
      if (keyword === 'HELP') {
        if (families.has(name)) fail('the family is there twice');
        current = { name, type: '', help: rest, samples: [] };
        families.set(name, current);
        if (rest === '') fail('HELP says nothing');
      } else if (current?.name !== name) fail(`${keyword} of a family that is not the current one`);
      else if (keyword === 'TYPE') {
        if (!TYPES.has(rest)) fail('not a type');
        if (current.type !== '' || current.samples.length > 0) fail('TYPE comes twice or after samples');
        current.type = rest;
      }
      continue;
    }
    const sample = parseSample(line, fail);
    if (!current || current.type === '') return fail('a sample without a TYPE before it');
    if (!belongs(sample.name, current)) fail(`the sample is not of ${current.name}`);
    const id = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (series.has(id)) fail('the series is there twice');
    series.add(id);
    current.samples.push(sample);
  }
  for (const family of families.values()) checkFamily(family);
  return families;
};

const belongs = (name: string, family: { name: string; type: string }): boolean =>
  family.type === 'histogram'
    ? ['_bucket', '_sum', '_count'].some((suffix) => name === family.name + suffix)
    : name === family.name;

const parseSample = (line: string, fail: (why: string) => never): Sample => {
  const name = /^[^{ ]*/.exec(line)?.[0] ?? '';
  if (!NAME.test(name)) fail('not a name');
  const labels: Record<string, string> = {};
  let at = name.length;
  if (line[at] === '{') {
    at++;
    while (line[at] !== '}') {
      const label = /^[^=]*/.exec(line.slice(at))?.[0] ?? '';
      if (!LABEL.test(label) || label.startsWith('__')) fail(`not a label: ${label}`);
      if (Object.hasOwn(labels, label)) fail(`the label ${label} is there twice`);
      at += label.length + 1;
      if (line[at] !== '"') fail('a value without quotes');
      at++;
      let value = '';
      for (; line[at] !== '"'; at++) {
        if (at >= line.length) fail('a value without an end');
        if (line[at] !== '\\') value += line[at];
        else {
          at++;
          const meant = ({ n: '\n', '\\': '\\', '"': '"' } as Record<string, string>)[line[at] ?? ''];
          value += meant ?? fail('an escape of no meaning');
        }
      }
      labels[label] = value;
      at++;
      if (line[at] === ',') at++;
      else if (line[at] !== '}') fail('neither a comma nor the end of the labels');
    }
    at++;
  }
  const [, number = ''] = /^ (\S+)$/.exec(line.slice(at)) ?? [];
  const value =
    number === '+Inf' ? Number.POSITIVE_INFINITY : number === '-Inf' ? Number.NEGATIVE_INFINITY : Number(number);
  if (number === '' || (Number.isNaN(value) && number !== 'NaN')) fail('not a number');
  return { name, labels, value };
};

const checkFamily = ({ name, type, samples }: FamilyText): void => {
  if (samples.length === 0) throw new Error(`${name} has no samples`);
  if (type === 'counter') {
    if (!name.endsWith('_total')) throw new Error(`the counter ${name} does not end in _total`);
    if (samples.some(({ value }) => !(value >= 0))) throw new Error(`the counter ${name} is negative`);
  } else if (name.endsWith('_total')) throw new Error(`${name} ends in _total and is no counter`);
  if (type !== 'histogram') return;
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const one = (suffix: string): number => {
      const found = group.filter((sample) => sample.name === name + suffix);
      if (found.length !== 1) throw new Error(`${name}${key} has ${found.length} of ${suffix}`);
      return found[0]!.value;
    };
    const bounds = buckets.map(({ labels: { le = '' } }) => (le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le)));
    if (bounds.some((bound, index) => Number.isNaN(bound) || (index > 0 && bound <= bounds[index - 1]!))) {
      throw new Error(`${name}${key} has buckets out of order`);
    }
    if (buckets.some(({ value }, index) => index > 0 && value < buckets[index - 1]!.value)) {
      throw new Error(`${name}${key} has buckets that are not cumulative`);
    }
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`${name}${key} has no bucket +Inf`);
    if (buckets.at(-1)!.value !== one('_count')) throw new Error(`${name}${key}: +Inf is not the count`);
    one('_sum');
  }
};

/** The sum of the samples of a name that have these labels. */
export const sumOf = (
  families: ReadonlyMap<string, FamilyText>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number => {
  let sum = 0;
  for (const family of families.values()) {
    for (const sample of family.samples) {
      if (sample.name !== name) continue;
      if (Object.entries(labels).every(([label, value]) => sample.labels[label] === value)) sum += sample.value;
    }
  }
  return sum;
};

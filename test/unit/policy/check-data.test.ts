import { describe, expect, test } from '@jest/globals';
import { checkData } from '../../../gateway/policy/check-data.ts';
import { readData } from '../../../gateway/policy/check-data-files.ts';
import { placeOf, type Remark } from '../../../gateway/policy/finding.ts';
import { withFolder, writeFiles } from '../../support/policy-fixture.ts';

const TODAY = '2026-06-01';

const MODELS = `small:
  title: Small
  class: cheap
  upstreams: { local: small }
  modalities: [text]
  context_tokens: 8000
  max_output_tokens: 1000
  deprecation_date: null
  usd_per_million_tokens: { input: 1, output: 2 }
`;

const check = (files: Record<string, string>, today = TODAY): Promise<Remark[]> =>
  withFolder(async (folder) => {
    const all = { 'models/data.yaml': MODELS, ...files };
    await writeFiles(folder, all);
    const remarks: Remark[] = [];
    const data = await readData(folder, Object.keys(all), remarks);
    return [...remarks, ...checkData(data, today)];
  });

/** `line:column why / fix` of each. */
const said = async (files: Record<string, string>, today?: string): Promise<string[]> =>
  (await check(files, today)).map(
    (remark) => `${placeOf(remark).replace(/^[^/]*\//, '')} ${remark.why} / ${remark.fix}`,
  );

const models = (change: (text: string) => string): Record<string, string> => ({ 'models/data.yaml': change(MODELS) });

describe('data against their schema', () => {
  test.each([
    ['nothing of data that are right', models((text) => text), []],
    [
      'an unknown value, in a list',
      models((text) => text.replace('[text]', '[text, smell]')),
      [
        'models/data.yaml:5:22 models.small.modalities.1: not one of the known values / use one of "text", "image", "audio", "document"',
      ],
    ],
    [
      'an unknown field, deep inside',
      models((text) => text.replace('output: 2', 'ouput: 2, output: 2')),
      [
        'models/data.yaml:9:39 models.small.usd_per_million_tokens.ouput: unknown field / known fields: input, cache_read, cache_write, cache_write_1h, output',
      ],
    ],
    [
      'a missing member',
      models((text) => text.replace('  class: cheap\n', '')),
      ["models/data.yaml:1:1 models.small: must have required property 'class' / add class"],
    ],
    [
      'a missing member, deep inside',
      models((text) => text.replace(', output: 2', '')),
      ["models/data.yaml:9:3 models.small.usd_per_million_tokens: must have required property 'output' / add output"],
    ],
    [
      'another type',
      models((text) => text.replace('8000', 'many')),
      ['models/data.yaml:6:3 models.small.context_tokens: must be integer, not "many" / write an integer'],
    ],
    [
      'a number out of bounds',
      models((text) => text.replace('8000', '0')),
      ['models/data.yaml:6:3 models.small.context_tokens: must be >= 1 / Largest input.'],
    ],
    [
      'a date that is none, once',
      models((text) => text.replace('null', '2026-13-01')),
      ['models/data.yaml:8:3 models.small.deprecation_date: must match format "date" / write a date, YYYY-MM-DD'],
    ],
    [
      'a type that neither choice has, once',
      models((text) => text.replace('null', '7')),
      ['models/data.yaml:8:3 models.small.deprecation_date: must be string, not 7 / write a string'],
    ],
    [
      'a name that is none',
      models((text) => text.replace('small:', '-small:')),
      [
        'models/data.yaml:1:1 models.-small: "-small" must match pattern "^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$" / begin with a letter or digit; then letters, digits and . _ : / -',
      ],
    ],
    [
      'what must be true',
      {
        'workflows/data.yaml': 'w: { title: W, roles: { student: no } }\n',
        'roles/data.yaml': 'student: { title: S, endpoints: {}, classes: {}, max_output_tokens: 1, uninspected: {} }\n',
      },
      ['workflows/data.yaml:1:25 workflows.w.roles.student: must be boolean, not "no" / write a boolean'],
    ],
    [
      'JSON too',
      { 'tiers/data.json': '{\n  "free": { "title": "Free",\n    "max_output_tokens": 0, "limits": 5 }\n}\n' },
      [
        'tiers/data.json:3:5 tiers.free.max_output_tokens: must be >= 1 / Largest output.',
        'tiers/data.json:3:29 tiers.free.limits: must be object, not 5 / write an object',
      ],
    ],
    [
      'YAML that is none',
      { 'x/data.yaml': 'a: [1\nb: 2\n' },
      [expect.stringMatching(/^x\/data\.yaml:\d+:\d+ .* \/ mend the YAML$/)],
    ],
    ['a key twice', { 'x/data.yaml': 'a: 1\na: 2\n' }, ['x/data.yaml:2:1 Map keys must be unique / mend the YAML']],
    [
      'numbers that the compiler reads otherwise',
      { 'x/data.yaml': 'a: 014\nb: 1_000\nc: "014"\nd: 0o14\ne: 10\n' },
      [
        'x/data.yaml:1:4 014: the compiler reads another number than other readers of YAML do / write it in plain digits, or quote it',
        'x/data.yaml:2:4 1_000: the compiler reads another number than other readers of YAML do / write it in plain digits, or quote it',
      ],
    ],
    [
      'a number that is not kept',
      { 'x/data.yaml': 'a: 9007199254740993\nb: 1e400\n' },
      [
        'x/data.yaml:1:4 9007199254740993: WASM keeps whole numbers up to 9007199254740991 exactly / write it as a string, or count in larger units',
        'x/data.yaml:2:4 1e400: WASM keeps whole numbers up to 9007199254740991 exactly / write it as a string, or count in larger units',
      ],
    ],
  ])('finds %s', async (_, files, expected) => {
    expect(await said(files)).toEqual(expected);
  });
});

describe('models in use that retire', () => {
  const pools = (candidates: string): Record<string, string> => ({
    'routing/data.yaml': `thresholds: { hard_complexity: 0.8, simple_complexity: 0.3, simple_words: 12 }
classes: { closed: cheap, simple: cheap, open: cheap, hard: cheap }
lower: { frontier: cheap, strong: cheap, cheap: cheap }
saving_from: 0.8
pools:
  cheap: [${candidates}]
  strong: [{ model: small, upstream: local }]
  frontier: [{ model: small, upstream: local }]
`,
  });
  const model = (name: string, date: string | null, more = ''): string =>
    MODELS.replace('small:', `${name}:`).replace('null', date === null ? 'null' : `"${date}"`) + more;
  const use = (text: string, candidates = '{ model: old, upstream: local }'): Record<string, string> => ({
    'models/data.yaml': MODELS + text,
    ...pools(candidates),
  });

  test.each([
    ['2026-05-31', 'was retired on 2026-05-31'],
    ['2026-06-01', 'is retired today'],
    ['2026-06-02', 'is retired on 2026-06-02, in 1 day'],
    ['2026-08-30', 'is retired on 2026-08-30, in 90 days'],
  ])('are found when it is on %s', async (date, why) => {
    expect(await said(use(model('old', date)))).toEqual([
      `routing/data.yaml:6:13 routing.pools.cheap.0.model: "old" ${why} / put { model: small, upstream: local } in its place, which is of the class cheap too`,
    ]);
  });

  test.each(['2026-08-31', null])('are not found when it is on %s', async (date) => {
    expect(await said(use(model('old', date)))).toEqual([]);
  });

  test('are not found when nobody routes to them: callers who ask for them are told', async () => {
    expect(await said(use(model('old', '2020-01-01'), '{ model: small, upstream: local }'))).toEqual([]);
  });

  test('have a successor at their own upstream where there is one, else what stays, else nobody', async () => {
    const elsewhere = model('near', null).replace('local: small', 'other: near');
    const old = model('old', '2026-05-01').replace('local: small', 'other: old');
    expect(await said(use(old + elsewhere, '{ model: old, upstream: other }'))).toEqual([
      expect.stringContaining('{ model: near, upstream: other }'),
    ]);
    expect(
      await said(use(model('old', '2026-05-01'), '{ model: old, upstream: local }, { model: small, upstream: local }')),
    ).toEqual([expect.stringContaining('remove it: small of the same class stay in the pool')]);
    const both = '{ model: old, upstream: local }, { model: small, upstream: local }';
    expect(await said(use(model('old', '2026-05-01') + elsewhere, both))).toEqual([
      expect.stringContaining('remove it: small'),
    ]);
    const strong = model('old', '2026-05-01').replace('cheap', 'strong');
    expect(await said(use(strong))).toEqual([expect.stringContaining('add a model of the class strong')]);
  });
});

test('a file that cannot be read is one finding, and none at each name that it would have', async () => {
  const pools = 'pools: { cheap: [{ model: small, upstream: local }] }\n';
  const broken = { 'models/data.yaml': `${MODELS}small: {}\n`, 'routing/data.yaml': pools };
  expect((await check(broken)).filter(({ check: name }) => name === 'reference')).toEqual([]);
  expect(await said(broken)).toContainEqual(
    expect.stringMatching(/^models\/data.yaml:\d+:\d+ Map keys must be unique/),
  );
});

test('a misspelt name is told with the one that was meant', async () => {
  const pools = { 'routing/data.yaml': 'pools: { cheap: [{ model: smal, upstream: local }] }\n' };
  expect(await said(pools)).toContainEqual(
    expect.stringContaining('use small or another name of models, or add it there'),
  );
});

import { describe, expect, test } from '@jest/globals';
import { experimentProblems } from '../../../gateway/policy/check-experiments.ts';
import { qualityGaps } from '../../../gateway/policy/check-quality.ts';
import { danglingReferences } from '../../../gateway/policy/references.ts';

const experiment = (change: object = {}) => ({
  unit: 'user',
  salt: 1,
  start: '2026-01-01T00:00:00.000Z',
  end: '2026-02-01T00:00:00.000Z',
  arms: { a: { share: 33.34 }, b: { share: 33.33 }, control: { share: 33.33 } },
  ...change,
});
const found = (data: object) =>
  experimentProblems(data as Record<string, unknown>).map(({ check, path }) => `${check} ${path.join('.')}`);

describe('experimentProblems', () => {
  test('finds nothing in experiments that can be and do not meet', () => {
    const later = { start: '2026-02-01T00:00:00.000Z', end: '2026-03-01T00:00:00.000Z' };
    expect(found({})).toEqual([]);
    expect(found({ experiments: { a: experiment(), b: experiment(later) } })).toEqual([]);
  });

  test('finds shares over 100, and an end no later than the start', () => {
    const arms = { a: { share: 60 }, control: { share: 40.01 } };
    expect(found({ experiments: { x: experiment({ arms }) } })).toEqual(['experiment experiments.x.arms']);
    const end = '2026-01-01T00:00:00.000Z';
    expect(found({ experiments: { x: experiment({ end }) } })).toEqual(['experiment experiments.x.end']);
  });

  test.each([
    ['start', '2025-02-30T00:00:00.000Z'],
    ['end', '2026-13-01T00:00:00.000Z'],
    ['end', '2026-01-31T24:00:00.000Z'],
  ])('finds a %s that is in no calendar: %s', (name, time) => {
    expect(found({ experiments: { x: experiment({ [name]: time }) } })).toEqual([`experiment experiments.x.${name}`]);
  });

  test('finds two that concern the same requests, and says when they draw alike', () => {
    const [independent, alike] = [2, 1].map((salt) =>
      experimentProblems({ experiments: { b: experiment({ salt }), a: experiment() } }),
    );
    expect(independent).toMatchObject([{ check: 'overlap', path: ['experiments', 'b'] }]);
    expect(independent?.[0]?.why).toContain('a concerns too');
    expect(alike?.[0]?.why).toContain('with the same salt');
    // Of another unit it draws other numbers.
    const other = experimentProblems({ experiments: { a: experiment(), b: experiment({ unit: 'org' }) } });
    expect(other[0]?.why).toContain('a concerns too');
  });

  test.each(['organizations', 'workflows', 'tasks'])('two that have no %s in common do not meet', (list) => {
    const [x, y, both] = [{ x: true }, { y: true }, { x: true, y: true }].map((names) => experiment({ [list]: names }));
    expect(found({ experiments: { a: x, b: y } })).toEqual([]);
    expect(found({ experiments: { a: x, b: both } })).toEqual(['overlap experiments.b']);
    expect(found({ experiments: { a: x, b: experiment() } })).toEqual(['overlap experiments.b']);
  });

  test('finds mirrors that draw the same requests', () => {
    const mirrors = { a: { salt: 1 }, b: { salt: 1, tasks: { open: true } }, c: { salt: 2 } };
    expect(found({ mirrors })).toEqual(['overlap mirrors.b.salt']);
  });
});

describe('qualityGaps', () => {
  const row = { quality: 0.8, samples: 100, valid_until: '2026-06-01' };
  const routing = {
    quality: { margin: 0.03, min_samples: 100 },
    pools: { cheap: [{ model: 'small' }, { model: 'big' }] },
  };
  const gaps = (quality: object, over: object = {}) =>
    qualityGaps({ routing: { ...routing, ...over }, quality }, '2026-06-01').map(({ path }) => path.join('.'));

  test('finds nothing where all that is used was measured, or nothing was', () => {
    expect(gaps({ open: { small: row, big: row } })).toEqual([]);
    expect(gaps({})).toEqual([]);
    expect(gaps({ open: {} })).toEqual([]);
    expect(gaps({ open: { small: { ...row, samples: 1 } } }, { quality: undefined })).toEqual([]);
  });

  test('finds what ended, what rests on too few tasks, and what was never measured', () => {
    expect(gaps({ open: { small: { ...row, valid_until: '2026-05-31' }, big: row } })).toEqual([
      'quality.open.small.valid_until',
    ]);
    expect(gaps({ open: { small: row, big: { ...row, samples: 99 } } })).toEqual(['quality.open.big.samples']);
    expect(gaps({ closed: { small: row, big: row }, open: { small: row } })).toEqual(['quality.open']);
  });

  test('are figures of different suites, which say nothing against each other', () => {
    const [one, other] = ['1', '2'].map((digit) => ({ ...row, suite_sha256: digit.repeat(64) }));
    expect(gaps({ open: { small: one, big: one } })).toEqual([]);
    expect(gaps({ open: { small: one, big: other } })).toEqual(['quality.open.big.suite_sha256']);
  });
});

test('names in measurements, experiments and mirrors must be somewhere, and their models chat', () => {
  const models = { small: { upstreams: {} }, vectors: { upstreams: {}, endpoints: ['embeddings'] } };
  const of = { organizations: { nowhere: true }, workflows: { mining: true } };
  const data = {
    models,
    organizations: {},
    workflows: {},
    quality: { open: { gone: {}, small: {} } },
    experiments: { e: { ...of, arms: { control: {}, b: { model: 'gone' }, c: { model: 'vectors' } } } },
    mirrors: { m: { ...of, model: 'gone' }, n: { model: 'vectors' } },
  };
  expect(danglingReferences(data).map(({ path }) => path.join('.'))).toEqual([
    'quality.open.gone',
    'experiments.e.organizations.nowhere',
    'experiments.e.workflows.mining',
    'experiments.e.arms.b.model',
    'mirrors.m.organizations.nowhere',
    'mirrors.m.workflows.mining',
    'mirrors.m.model',
    'experiments.e.arms.c.model',
    'mirrors.n.model',
  ]);
});

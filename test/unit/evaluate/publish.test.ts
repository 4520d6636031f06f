import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { judgeWarnings, measurementsOf, qualityYaml, replacedModels } from '../../../gateway/evaluate/publish.ts';
import type { EvalJudge, EvalModel, EvalResults, Quality } from '../../../gateway/types.gen.ts';

const SHA = '1'.repeat(64);
const model: EvalModel = {
  model: 'm',
  tasks: 100,
  graded: 100,
  is_compared: true,
  is_on_front: true,
  quality: { estimate: 0.81234567, low: 0.7, high: 0.9 },
  graders: {},
  usd_per_1000_tasks: 0.123456789,
  total_usd: 1,
  p50_ms: 12.6,
  p95_ms: 20,
  input_tokens: 1,
  output_tokens: 1,
  answers: 100,
  failures: {},
  lost: 0,
  unmarked: 0,
};
const results = (changes: Partial<EvalResults> = {}): EvalResults => ({
  version: 1,
  suite: 's',
  title: 's',
  task: 'closed',
  suite_sha256: SHA,
  began: '2026-11-20T10:00:00.000Z',
  end: { reason: 'done', message: null },
  is_complete: true,
  tasks: 100,
  tasks_asked: 100,
  repeats: 1,
  compared_tasks: 100,
  budget_usd: 1,
  spent_usd: 1,
  notes: [],
  graders: [],
  models: [model],
  comparisons: [],
  judges: [],
  items: [],
  ...changes,
});
const OPTIONS = { suiteSha256: SHA, validForMs: 90 * 86_400_000, minSamples: 50 };

describe('what is published', () => {
  test('is dated by the day on which the first model was asked', () => {
    expect(measurementsOf(results(), OPTIONS).m).toEqual({
      quality: 0.8123,
      low: 0.7,
      high: 0.9,
      samples: 100,
      usd_per_1000_tasks: 0.123457,
      p50_ms: 13,
      measured: '2026-11-20',
      valid_until: '2027-02-18',
      suite: 's',
      suite_sha256: SHA,
    });
  });

  test.each<[string, Partial<EvalResults>]>([
    ['another version', { suite_sha256: 'a'.repeat(64) }],
    ['not complete', { is_complete: false }],
    ['at least 50', { compared_tasks: 49 }],
    ['90 of 100 tasks only', { models: [{ ...model, graded: 90 }] }],
    ['108 of 300 answers only', { repeats: 3, models: [{ ...model, answers: 110, unmarked: 2 }] }],
    ['has no score', { models: [{ ...model, quality: null }] }],
  ])('is refused with “%s”', (words, changes) => {
    expect(() => measurementsOf(results(changes), OPTIONS)).toThrow(words);
  });

  test('leaves other kinds of task and other models as they are, and is no number or date to YAML 1.1', () => {
    const measured = measurementsOf(results(), OPTIONS);
    const before = { open: { x: measured.m }, closed: { z: measured.m } } as Quality;
    const text = qualityYaml(before, 'closed', measured);
    expect(parse(text)).toEqual({ ...before, closed: { ...before.closed, ...measured } });
    expect(Object.keys((parse(text) as Quality).closed ?? {})).toEqual(['m', 'z']);
    expect(text).toContain(`suite_sha256: "${SHA}"`);
    expect(text).toContain('measured: "2026-11-20"');
    expect(text).toMatch(/^# What evaluations measured/);
    expect(qualityYaml(parse(text) as Quality, 'closed', measured)).toBe(text);
  });
});

describe('models that another suite, or another version of it, measured for the same kind of task', () => {
  test('are removed and named, since their figures cannot be held against each other', () => {
    const measured = measurementsOf(results(), OPTIONS);
    const row = measured.m as NonNullable<(typeof measured)['m']>;
    const other = { ...row, suite: 'easy', suite_sha256: 'e'.repeat(64) };
    const before: Quality = { closed: { m: other, old: other, z: row }, open: { old: other } };
    expect(replacedModels(before, 'closed', measured)).toEqual(['old']);
    expect(parse(qualityYaml(before, 'closed', measured))).toEqual({
      closed: { m: row, z: row },
      open: { old: other },
    });
  });
});

describe('a judge that publishing warns of', () => {
  const judge: EvalJudge = {
    grader: 'g',
    kind: 'judge',
    model: 'j',
    prompt: '',
    calls: 1,
    reminders: 0,
    unmarked: 0,
    failed: 0,
    lost: 0,
    total_usd: 0,
    order_decided: null,
    agreement: { marks: 50, exact: 0.5, kappa: 0.5, spearman: 0.5 },
  };
  test('disagrees with people, was never compared, or goes by the order', () => {
    const warned = (changes: Partial<EvalJudge>): string =>
      judgeWarnings(results({ judges: [{ ...judge, ...changes }] })).join();
    expect(warned({})).toBe('');
    expect(warned({ agreement: { marks: 50, exact: 0.5, kappa: 0.39, spearman: 0.5 } })).toContain('kappa 0.39');
    expect(warned({ agreement: null })).toContain('never compared');
    expect(warned({ order_decided: 0.4 })).toContain('40 %');
  });
});

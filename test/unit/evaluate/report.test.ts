import { describe, expect, test } from '@jest/globals';
import { createProgress } from '../../../gateway/cli/eval-progress.ts';
import { markdownCell } from '../../../gateway/evaluate/report/escape.ts';
import { plotSvg } from '../../../gateway/evaluate/report/plot.ts';
import { comparePaired } from '../../../gateway/evaluate/statistics/paired.ts';
import type { EvalModel } from '../../../gateway/types.gen.ts';

const modelAt = (name: string, cost: number, quality: number): EvalModel =>
  ({
    model: name,
    is_compared: true,
    is_on_front: true,
    quality: { estimate: quality, low: quality - 0.05, high: quality + 0.05 },
    usd_per_1000_tasks: cost,
  }) as unknown as EvalModel;

const labelsOf = (svg: string): { x: number; y: number; text: string }[] =>
  [...svg.matchAll(/<text class="label" x="([\d.-]+)" y="([\d.-]+)">([^<]*)</g)].map(([, x, y, text]) => ({
    x: Number(x),
    y: Number(y),
    text: String(text),
  }));

describe('the plot', () => {
  test('sets labels of models that lie close apart', () => {
    const close = Array.from({ length: 10 }, (_, at) => modelAt(`model-number-${at}`, 1 + at / 100, 0.7 + at / 500));
    const labels = labelsOf(plotSvg(close));
    expect(labels).toHaveLength(10);
    for (const [at, one] of labels.entries()) {
      for (const other of labels.slice(at + 1)) {
        const meet = Math.abs(one.x - other.x) < 14 * 7 && Math.abs(one.y - other.y) < 14;
        expect({ one: one.text, other: other.text, meet }).toMatchObject({ meet: false });
      }
    }
  });

  test('has a logarithmic axis when the dearest costs more than ten times the cheapest', () => {
    expect(plotSvg([modelAt('a', 1, 0.5), modelAt('b', 9, 0.6)])).not.toContain('logarithmic');
    expect(plotSvg([modelAt('a', 1, 0.5), modelAt('b', 11, 0.6)])).toContain('logarithmic');
    expect(plotSvg([modelAt('free', 0, 0.4), modelAt('a', 1, 0.5), modelAt('b', 11, 0.6)])).not.toContain('NaN');
    expect(plotSvg([modelAt('free', 0, 1)])).not.toMatch(/NaN|Infinity/);
  });

  test('escapes names, and is empty when nothing is compared', () => {
    expect(plotSvg([modelAt('<b>"', 1, 0.5)])).toContain('&lt;b&gt;&quot;');
    expect(plotSvg([{ ...modelAt('a', 1, 0.5), is_compared: false }])).toBe('');
  });
});

test('a cell of Markdown is one line without markup', () => {
  expect(markdownCell('a|b\n<img> [x](y) `c`')).toBe('a\\|b &lt;img\\> \\[x\\](y) \\`c\\`');
});

test('models that never differ have an interval around 0', () => {
  const { low, high, pValue } = comparePaired(new Array<number>(40).fill(0));
  expect(low).toBeCloseTo(-high, 12);
  expect(high).toBeGreaterThan(0.05);
  expect(high).toBeLessThan(0.12);
  expect(pValue).toBe(1);
});

describe('progress', () => {
  const run = (isTTY: boolean): string => {
    let now = 0;
    let text = '';
    const write = (part: string): void => {
      text += part;
    };
    const out = { isTTY, columns: 80, write };
    const progress = createProgress(
      { total: 100, done: 50, spentMicroUsd: () => 1_500_000, budgetMicroUsd: 5_000_000 },
      out,
      () => now,
    );
    for (let call = 0; call < 10; call++) {
      now += 1_000;
      progress.result({ error: call === 0 ? 'no' : null } as Parameters<typeof progress.result>[0]);
    }
    progress.end();
    return text;
  };

  test('is a line every five seconds where there is no terminal', () => {
    expect(run(false).trim().split('\n')).toEqual([
      '50/100 calls  1.50 of 5.00 USD  0 failed',
      '55/100 calls  1.50 of 5.00 USD  1 failed  45 s left',
      '60/100 calls  1.50 of 5.00 USD  1 failed  40 s left',
      '60/100 calls  1.50 of 5.00 USD  1 failed  40 s left',
    ]);
  });

  test('is a bar on one', () => {
    expect(run(true)).toContain('█░');
  });
});

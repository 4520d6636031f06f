import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { estimatePromptTokens, estimateTokens } from '../../gateway/tokens.ts';

interface Truth {
  readonly text: string;
  readonly o200: { readonly wasm: number };
}

const truth = readFileSync(new URL('../fixtures/token-truth.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Truth);
const quantile = (values: number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!;

describe('estimateTokens', () => {
  test('the error against exact counts is small in the median and bounded in the tail', () => {
    const errors = truth.map(({ text, o200 }) => Math.abs(estimateTokens(text) / o200.wasm - 1));
    expect(quantile(errors, 0.5)).toBeLessThanOrEqual(0.06);
    expect(quantile(errors, 0.95)).toBeLessThanOrEqual(0.2);
  });

  test('a long text is estimated from a sample that is close to the whole', () => {
    const mixed = truth.map(({ text }) => text).join(' ');
    const whole = estimateTokens(mixed);
    const long = mixed.repeat(200);
    expect(Math.abs(estimateTokens(long) / (whole * 200) - 1)).toBeLessThan(0.25);
  });

  test('several texts cost what they cost together, whatever their sizes', () => {
    const texts = Array.from({ length: 500 }, (_, index) => 'the quick brown fox. '.repeat(index % 7));
    const joined = estimateTokens(texts.join(''));
    expect(Math.abs(estimateTokens(texts) / joined - 1)).toBeLessThan(0.1);
  });

  test('nothing costs nothing, a message costs its frame', () => {
    expect(estimateTokens('')).toBe(0);
    expect(estimateTokens([])).toBe(0);
    expect(estimatePromptTokens(['hello'], 1)).toBe(1 + 3 + 3);
  });

  test('a hostile text of a megabyte is estimated from its sample at once', () => {
    const started = process.cpuUsage();
    for (const unit of ['a', '1', ' ', '|<', 'é', '😀']) estimateTokens(unit.repeat(1_000_000 / unit.length));
    expect(process.cpuUsage(started).user).toBeLessThan(500_000);
  });
});

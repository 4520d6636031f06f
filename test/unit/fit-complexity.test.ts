import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { complexityYaml, fitComplexity, PRICED } from '../../scripts/fit-complexity.ts';

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

let fitted: ReturnType<typeof fitComplexity>;
beforeAll(() => {
  fitted = fitComplexity({ models: parse(read('policies/models/data.yaml')) }, PRICED);
});

test('policies/complexity/data.yaml is what the fit gives', () => {
  expect(read('policies/complexity/data.yaml')).toBe(complexityYaml(fitted.complexity));
});

test('docs/complexity.md tells the figures of the fit', () => {
  const [, told] = /<!-- fit -->\n([\s\S]*?)\n<!-- \/fit -->/.exec(read('docs/complexity.md')) ?? [];
  expect(told).toBe(fitted.markdown);
});

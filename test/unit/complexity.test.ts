import { describe, expect, test } from '@jest/globals';
import { complexityOf, type Weighed, weighedFor } from '../../gateway/complexity.ts';
import { readSignals } from '../../gateway/signals.ts';
import type { Complexity } from '../../gateway/types.gen.ts';
import { input } from '../support/policy-fixture.ts';

const weighed = (text: string, tools: string[] = [], turns = 1, languages = ['Latn']): Weighed => ({
  request: { tools },
  content: { signals: readSignals({ text, length: text.length }, turns), languages },
});

describe('complexity', () => {
  test('without weights of a policy: multiple choice is simpler than an essay, and an essay than a long one with code', () => {
    const choice = complexityOf(weighed('What is 2+2?\nA. 3\nB. 4\nC. 5'), undefined);
    const essay = complexityOf(weighed('Write an essay that explains why the sky is blue.'), undefined);
    const long = `Refactor and explain this design:\n\`\`\`\n${'const a = b;\n'.repeat(50)}\`\`\``;
    const hard = complexityOf(weighed(long), undefined);
    expect(choice).toBeLessThan(0.2);
    expect(essay).toBeGreaterThan(0.5);
    expect(hard).toBeGreaterThan(essay);
    expect(hard).toBeLessThanOrEqual(1);
  });

  test.each([
    ['multiple_choice', weighed('Which?\nA. 1\nB. 2\nC. 3')],
    ['yes_no', weighed('Is water wet?')],
    ['code', weighed('const a = 1;')],
    ['math', weighed('x^2 = 4')],
    ['negated', weighed('Name one that is not red')],
    ['instruction_verb', weighed('Explain it')],
    ['question_mark', weighed('So?')],
    ['turn', weighed('And then', [], 3)],
    ['number', weighed('1848')],
    ['long_words', weighed('unbelievable')],
    ['length', weighed('word '.repeat(100))],
    ['tool', weighed('Go on', ['search'])],
    ['other_script', weighed('Привет', [], 1, ['Cyrl'])],
  ] as [keyof Complexity['weights'], Weighed][])(
    'the weight of %s counts when it is there, and no other does',
    (name, there) => {
      const plain = weighed('a word');
      const only: Complexity = { bias: 0, weights: { [name]: 1 } };
      expect(complexityOf(plain, only)).toBe(0.5);
      expect(complexityOf(there, only)).toBeGreaterThan(0.5);
      expect(complexityOf(there, { bias: 0, weights: {} })).toBe(0.5);
    },
  );

  test('is between 0 and 1 with three decimals, whatever the weights', () => {
    for (const bias of [-1e9, -5, 0, 5, 1e9]) {
      const score = complexityOf(weighed('x'), { bias, weights: {} });
      expect(score).toBeGreaterThanOrEqual(0);
      expect(score).toBeLessThanOrEqual(1);
      expect(Math.round(score * 1000) / 1000).toBe(score);
    }
  });
});

describe('an input that another policy is asked', () => {
  const heavy: Complexity = { bias: 3, weights: {} };

  test('has the complexity of that policy, and is else the same', () => {
    const asked = input();
    const { complexity, ...content } = weighedFor(asked, heavy).content;
    expect(complexity).toBe(0.953);
    expect({ ...asked.content, complexity: 0 }).toEqual({ ...content, complexity: 0 });
    expect(weighedFor(weighedFor(asked, heavy), undefined)).toEqual(weighedFor(asked, undefined));
  });

  test('without a body has none', () => {
    const list = { ...input(), content: { ...input().content, bytes: 0, complexity: 0 } };
    expect(weighedFor(list, heavy)).toBe(list);
  });
});

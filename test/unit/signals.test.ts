import { describe, expect, test } from '@jest/globals';
import { bucketOf } from '../../gateway/bucket.ts';
import { scriptsOf } from '../../gateway/scripts.ts';
import { newestUserText, readSignals } from '../../gateway/signals.ts';

const signals = (text: string) => readSignals({ text, length: text.length }, 1);

describe('readSignals', () => {
  test.each([
    'What is 2+2?\nA. 3\nB. 4\nC. 5',
    'Which one?\n(a) red\n(b) blue',
    'Pick the right answer:\n1) x\n2) y\n3) z',
    'Is it A) a cat or B) a dog?',
    'A: one\nB: two\nC: three\nAnswer:',
  ])('%j is multiple choice', (text) => expect(signals(text).multiple_choice).toBe(true));

  test.each([
    'Write an essay about Hawaii.',
    'Buy:\n1. milk\n2. bread\n3. eggs',
    'A. Lincoln was a president. Who came next?',
    'Steps:\n1. Open it.\n2. Close it.\n3. Done. Is that fine?',
  ])('%j is not', (text) => expect(signals(text).multiple_choice).toBe(false));

  test.each(['Is water wet?', 'Answer yes or no: does it rain', 'True or false: 2 > 1', 'Does the file exist?'])(
    '%j asks for yes or no',
    (text) => expect(signals(text).yes_no).toBe(true),
  );
  test.each(['Can you write a poem?', 'What is water?', 'Is it so? Why?'])('%j does not', (text) =>
    expect(signals(text).yes_no).toBe(false),
  );

  test.each([
    '```\nx\n```',
    'def f(x):\n  return x',
    'const a = 1;',
    'SELECT a FROM b',
    '#include <stdio.h>',
    'import x from "y"',
  ])('%j is code', (text) => expect(signals(text).code).toBe(true));
  test.each(['I like the class of 2020 (really); it was fun.', 'Let us meet at noon.'])('%j is not', (text) =>
    expect(signals(text).code).toBe(false),
  );

  test.each(['Compute \\frac{1}{2}', 'x^2 + 1', '3 + 4', '∫ f', 'Let f(x) be', '$a_1$'])('%j is math', (text) =>
    expect(signals(text).math).toBe(true),
  );
  test.each(['It costs $10 and $20.', 'Tell me a story.'])('%j is not', (text) =>
    expect(signals(text).math).toBe(false),
  );

  test('words, question marks and verbs are counted', () => {
    expect(signals('Explain and COMPARE them, please. Why? Warum？ Don’t write2 rewriting.')).toMatchObject({
      question_marks: 2,
      instruction_verbs: 2,
    });
    expect(signals("it's one two-three").words).toBe(4);
  });

  test('words of a long text are scaled up from the sample', () => {
    const sample = newestUserText([{ role: 'user', text: 'word '.repeat(100_000) }]);
    expect(sample.text.length).toBeLessThan(5000);
    expect(Math.abs(readSignals(sample, 1).words / 100_000 - 1)).toBeLessThan(0.02);
  });

  test('hostile texts are read in bounded time', () => {
    const started = process.cpuUsage();
    for (const unit of [
      '$a',
      '(A) ',
      'A. x\n',
      'is it ',
      'import {',
      'SELECT ',
      '```',
      'f(x',
      '1+',
      'x;\n',
      'const a ',
    ]) {
      signals(unit.repeat(4096 / unit.length));
    }
    expect(process.cpuUsage(started).user).toBeLessThan(300_000);
  });
});

describe('newestUserText', () => {
  test('it is the last run of user texts', () => {
    const texts = [
      { role: 'user', text: 'old' },
      { role: 'assistant', text: 'answer' },
      { role: 'user', text: 'part one' },
      { role: 'user', text: 'part two' },
      { role: 'tool', text: 'result' },
    ] as const;
    expect(newestUserText(texts)).toEqual({
      text: 'part one\npart two',
      length: 17,
    });
    expect(newestUserText([])).toEqual({ text: '', length: 0 });
  });

  test('of a long text the start and the end are read', () => {
    const { text, length } = newestUserText([{ role: 'user', text: `first ${'x'.repeat(50_000)} last` }]);
    expect([text.startsWith('first'), text.endsWith(' last'), length]).toEqual([true, true, 50_011]);
  });
});

describe('words', () => {
  test('numbers and long words are counted, and what turns a question round is seen', () => {
    expect(signals('Which of the following is NOT an 1848 revolution, and why were 3 unsuccessful?')).toMatchObject({
      words: 14,
      numbers: 2,
      long_words: 2,
      negated: true,
    });
    expect(signals('Which knot holds best?').negated).toBe(false);
  });

  test('of a long text are taken to be everywhere like where it was read', () => {
    const text = 'unbelievable 7 '.repeat(10_000);
    const { words, numbers, long_words } = readSignals(newestUserText([{ role: 'user', text }]), 1);
    expect(numbers / words).toBeCloseTo(0.5, 1);
    expect(long_words / words).toBeCloseTo(0.5, 1);
    expect(words).toBeGreaterThan(19_000);
  });
});

describe('scriptsOf', () => {
  test('scripts come most frequent first, stray letters are left out', () => {
    expect(scriptsOf('Привет мир hello')).toEqual(['Cyrl', 'Latn']);
    expect(scriptsOf('人工智能正在改变世界')).toEqual(['Hani']);
    expect(scriptsOf(`${'plain text '.repeat(50)} α`)).toEqual(['Latn']);
    expect(scriptsOf('123 ?!')).toEqual([]);
  });
});

describe('bucketOf', () => {
  test('a bucket is stable', () => {
    expect(bucketOf('org acme')).toBe(bucketOf('org acme'));
    expect([bucketOf(''), bucketOf('a'), bucketOf('org acme')]).toEqual([8923, 1715, 4111]);
  });

  test('buckets are spread evenly', () => {
    const tenths = new Array<number>(10).fill(0);
    for (let index = 0; index < 100_000; index++) tenths[Math.floor(bucketOf(`user acme ${index}`) / 1000)]!++;
    for (const count of tenths) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});

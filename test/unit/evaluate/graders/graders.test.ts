import { describe, expect, test } from '@jest/globals';
import { chosenLetter } from '../../../../gateway/evaluate/graders/choice.ts';
import { createGrader, GraderError, type PlainKind } from '../../../../gateway/evaluate/graders/create-grader.ts';
import { lastNumber } from '../../../../gateway/evaluate/graders/number.ts';
import { fill, MissingFieldError, type Task } from '../../../../gateway/evaluate/task.ts';
import type { SuiteGrader } from '../../../../gateway/types.gen.ts';

const TASK: Task = {
  id: 't1',
  fields: { answer: 'B', city: 'São Paulo', price: 1234.5, nested: { deep: 'x.y' }, 'a.b': 'dotted', none: null },
};
const answer = (text: string, ms = 100, costMicroUsd = 50) => ({ text, ms, costMicroUsd });
const grade = (grader: SuiteGrader & { kind: PlainKind }, text: string): number =>
  createGrader(grader)(TASK, answer(text)).score;

describe('a template', () => {
  test('is filled with the fields of a task', () => {
    expect(fill('{{ city }}: {{price}}, {{nested.deep}}, {{a.b}}', TASK)).toBe('São Paulo: 1234.5, x.y, dotted');
    expect(fill('{{nested}}', TASK)).toBe('{"deep":"x.y"}');
    expect(fill('$& {{answer}} {not a field}', TASK)).toBe('$& B {not a field}');
  });

  test.each(['{{missing}}', '{{none}}', '{{nested.other}}', '{{constructor}}', '{{city.length}}'])(
    '%s without the field is refused rather than left open',
    (template) => expect(() => fill(template, TASK)).toThrow(MissingFieldError),
  );
});

describe('the letter chosen', () => {
  test.each([
    ['B', 'B'],
    ['b)', 'B'],
    ['(C) because of the tide', 'C'],
    ['**D**', 'D'],
    ['B. A catalyst lowers the barrier', 'B'],
    ['The answer is B.', 'B'],
    ['The correct answer is: **C**', 'C'],
    ['A is tempting, but the correct option is (D).', 'D'],
    ['First I thought the answer is A. On reflection, the answer is C.', 'C'],
    ['\\boxed{B}', 'B'],
    ['$\\boxed{\\text{A}}$', 'A'],
    ['Answer: B\n\nA catalyst …', 'B'],
    ['It must be option C', 'C'],
    ['I would go for D here', 'D'],
  ])('%j chooses %s', (text, letter) => expect(chosenLetter(text)).toBe(letter));

  test.each([
    'A cat sat on the mat',
    'I do not know',
    'Both B and C are right',
    '',
    'Bananas',
    'The answer is unclear',
  ])('%j chooses none', (text) => expect(chosenLetter(text)).toBeUndefined());
});

describe('the last number', () => {
  test.each([
    ['It is 42.', 42],
    ['1,234.5 in all', 1234.5],
    ['from 3 to −7', -7],
    ['6.02e23', 6.02e23],
    ['.5', 0.5],
    ['12 %', 12],
    ['costs $1,000,000', 1_000_000],
  ])('of %j is %d', (text, value) => expect(lastNumber(text)).toBe(value));

  test('may be missing', () => expect(lastNumber('none at all.')).toBeUndefined());
});

describe('a grader', () => {
  test.each<[SuiteGrader & { kind: PlainKind }, string, number]>([
    [{ kind: 'exact', expected: '{{city}}' }, ' São Paulo\n', 1],
    [{ kind: 'exact', expected: '{{city}}' }, 'Sao Paulo', 0],
    [{ kind: 'normalized', expected: '{{city}}' }, 'The sao  PAULO!', 1],
    [{ kind: 'normalized', expected: ['Rio', '{{city}}'] }, 'rio', 1],
    [{ kind: 'contains', expected: '{{city}}' }, 'It is São Paulo, of course.', 1],
    [{ kind: 'contains', expected: 'art' }, 'a party', 0],
    [{ kind: 'choice', expected: '{{answer}}' }, 'The answer is B', 1],
    [{ kind: 'choice', expected: '{{answer}}' }, 'The answer is C', 0],
    [{ kind: 'choice', expected: '(B) text' }, 'b)', 1],
    [{ kind: 'number', expected: '{{price}}' }, 'about $1,234.50', 1],
    [{ kind: 'number', expected: '{{price}}' }, '1235', 0],
    [{ kind: 'number', expected: '{{price}}', tolerance: 1 }, '1235', 1],
    [{ kind: 'number', expected: '{{price}}', tolerance: '1%' }, '1240', 1],
    [{ kind: 'number', expected: '{{price}}', tolerance: '1%' }, '1250', 0],
    [{ kind: 'number', expected: '0.3' }, String(0.1 + 0.2), 1],
    [{ kind: 'regex', pattern: '^{{nested.deep}}$' }, 'x.y', 1],
    [{ kind: 'regex', pattern: '^{{nested.deep}}$' }, 'xzy', 0],
    [{ kind: 'json_schema', schema: { type: 'object', required: ['n'] } }, '```json\n{"n": 1}\n```', 1],
    [{ kind: 'json_schema', schema: { type: 'object', required: ['n'] } }, '{}', 0],
    [{ kind: 'json_schema', schema: { type: 'object' } }, 'not JSON', 0],
    [{ kind: 'latency', best_ms: 50, worst_ms: 150 }, '', 0.5],
    [{ kind: 'cost', worst_usd: 0.0001 }, '', 0.5],
    [{ kind: 'cost', worst_usd: 0.00001 }, '', 0],
  ])('%j gives %j a score of %d', (grader, text, score) => expect(grade(grader, text)).toBeCloseTo(score, 9));

  test('says what it saw', () => {
    expect(createGrader({ kind: 'choice', expected: '{{answer}}' })(TASK, answer('C'))).toEqual({
      score: 0,
      note: 'C, not B',
    });
  });

  test.each<SuiteGrader & { kind: PlainKind }>([
    { kind: 'exact' },
    { kind: 'regex' },
    { kind: 'regex', pattern: '(' },
    { kind: 'json_schema' },
    { kind: 'json_schema', schema: { type: 'nothing' } },
    { kind: 'latency' },
    { kind: 'latency', best_ms: 5, worst_ms: 5 },
  ])('%j is refused before any model is asked', (grader) => expect(() => createGrader(grader)).toThrow(GraderError));
});

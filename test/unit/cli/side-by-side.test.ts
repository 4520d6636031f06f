import { expect, test } from '@jest/globals';
import { sideBySide } from '../../../gateway/cli/side-by-side.ts';

const show = (expected: unknown, actual: unknown): string[] =>
  sideBySide([{ name: 'field', expected, actual }], ['expected', 'actual']);

test('short values stand in two columns', () => {
  expect(
    sideBySide(
      [
        { name: 'allow', expected: true, actual: false },
        { name: 'model', expected: 'gpt-6-sol', actual: null },
      ],
      ['expected', 'actual'],
    ),
  ).toEqual([
    '                  expected   actual',
    'allow             true       false',
    'model             gpt-6-sol  null',
  ]);
});

test('long texts stand below each other, with what differs marked', () => {
  expect(
    show('Write to EMAIL_A1 about the exam, please, today.', 'Write to ada@x.org about the exam, please, today.'),
  ).toEqual([
    'field',
    '  expected  Write to [-EMAIL_A1-] about the exam, please, today.',
    '  actual    Write to {+ada@x.org+} about the exam, please, today.',
  ]);
});

test('a text of several lines keeps them', () => {
  expect(show('one\ntwo', 'one\nthree')).toEqual([
    'field',
    '  expected  one',
    '            [-two-]',
    '  actual    one',
    '            {+three+}',
  ]);
});

test('long lists and tables show what left and what came', () => {
  const names = ['audit.retention', 'budgets.org_month', 'limits.tier', 'routing.open'];
  expect(show(names, [...names.slice(0, 2), 'routing.open', 'routing.saving'])).toEqual([
    'field',
    '    audit.retention',
    '    budgets.org_month',
    '  - limits.tier',
    '    routing.open',
    '  + routing.saving',
  ]);
  expect(
    show({ email: 'tokenize', phone: 'tokenize', ip: 'mask' }, { email: 'tokenize', ip: 'remove' }).slice(1),
  ).toEqual(expect.arrayContaining(['    email: tokenize', '  - phone: tokenize']));
});

test('a piece that a long text does not hold is shown beside it, unmarked', () => {
  const body = JSON.stringify({ model: 'x', messages: [{ role: 'user', content: 'Hello, what is new today?' }] });
  expect(show('Good bye', body)).toEqual(['field', '  expected  Good bye', `  actual    ${body}`]);
});

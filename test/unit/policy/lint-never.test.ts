import { describe, expect, test } from '@jest/globals';
import { lintRules, ruleOf } from '../../support/lint-fixture.ts';

describe('conditions that can never hold', () => {
  test.each([
    ['a word that is none of the field’s', 'input.request.dialect == "opnai"'],
    ['one in a set', 'input.request.endpoint in {"messages", "message"}'],
    ['one in a list’s members', 'some budget in input.spend\n\tbudget.scope == "orgs"'],
    ['one by the name of a rule', 'signals.words < 0'],
    ['one by the name of a variable', 'bucket := input.bucket.user\n\tbucket > 9999'],
    ['a number below the least', 'input.content.bytes <= -1'],
    ['a number above the most', 'input.content.complexity > 1'],
    ['a fraction of a whole number', 'input.bucket.org == 0.5'],
    ['a text that is too long', `input.request.time == "${'x'.repeat(33)}"`],
    ['false', 'false'],
    ['not true', 'not true'],
    ['constants that differ', '1 == 2'],
    ['a value that differs from itself', 'input.content.bytes != input.content.bytes'],
    ['one inside a comprehension', 'count([s | some s in input.spend; s.scope == "orgs"]) > 0'],
  ])('finds %s', async (_, conditions) => {
    const rule = ruleOf(conditions);
    expect(await lintRules(`${rule}\n\nsignals := input.content.signals`)).toEqual([
      `${rule.split('\n').length - 1} never-true`,
    ]);
  });

  test('finds a condition that excludes nothing', async () => {
    expect(await lintRules(ruleOf('input.request.endpoint != "modles"'))).toEqual(['2 always-true']);
    const negated = 'endpoint := input.request.endpoint\n\tnot endpoint in {"models", "modles"}';
    expect(await lintRules(ruleOf(negated))).toEqual(['3 always-true']);
  });

  test('finds a negated call on a field by the name of a rule, and not on a variable, which is there', async () => {
    expect(await lintRules(`${ruleOf('not signals.words >= 5')}\n\nsignals := input.content.signals`)).toEqual([
      '2 negated-input',
    ]);
    expect(await lintRules(ruleOf('words := input.content.signals.words', 'not words >= 5'))).toEqual([]);
  });

  test('finds a field of another type by the name of a rule', async () => {
    expect(await lintRules(`${ruleOf('signals.words >= "5"')}\n\nsignals := input.content.signals`)).toEqual([
      '2 types',
    ]);
  });

  test.each([
    ['the bounds themselves', 'input.bucket.user >= 9999\n\tinput.content.complexity >= 1\n\tinput.content.bytes <= 0'],
    ['a share of all traffic', 'input.bucket.user < 10000'],
    ['a word of the field', 'input.request.dialect == "openai"\n\tinput.request.endpoint != "models"'],
    ['null where it may be', 'input.request.temperature == null'],
    ['a claim of any type', 'input.caller.claims.level == 5\n\tinput.caller.claims.name == "x"'],
    ['two calls that look alike', 'count(input.spend) > count(input.request.tools)'],
    ['any two of a list', 'input.request.tools[_] != input.request.tools[_]'],
    ['a condition on another input', 'chats with input.request.dialect as "other"'],
  ])('accepts %s', async (_, conditions) => {
    expect(await lintRules(`${ruleOf(conditions)}\n\nchats if input.request.dialect == "openai"`)).toEqual([]);
  });
});

describe('conditions that exclude each other', () => {
  test.each([
    ['two values', 'input.request.model == "auto"\n\tinput.request.model == "small"'],
    ['two values, written the other way', '"auto" == input.request.model\n\tinput.request.model == "small"'],
    ['a value and its exclusion', 'input.request.model == "auto"\n\tinput.request.model != "auto"'],
    ['a value and a list without it', 'input.request.model in {"auto", "small"}\n\tinput.request.model == ""'],
    ['two lists', 'input.purpose.session in {"a", "b"}\n\tinput.purpose.session in {"c", "d"}'],
    ['bounds', 'input.content.bytes < 3\n\tinput.content.bytes > 5'],
    ['bounds that touch', 'input.content.bytes < 3\n\tinput.content.bytes >= 3'],
    ['a value outside of a bound', 'input.content.bytes == 9\n\tinput.content.bytes < 9'],
    ['texts', 'input.request.time >= "2026-02"\n\tinput.request.time < "2026-01"'],
    ['a variable’s values', 'n := count(input.request.tools)\n\tn < 1\n\tn > 2'],
    ['all values excluded', 'input.request.dialect != "openai"\n\tinput.request.dialect != "anthropic"'],
    ['a condition and its opposite', 'caller.chats\n\tnot caller.chats'],
    ['a truth and false', 'input.request.stream\n\tinput.request.stream == false'],
    ['true and false', 'input.request.stream == true\n\tinput.request.stream == false'],
    ['a call and its opposite', 'f("a")\n\tnot f("a")'],
  ])('finds %s', async (_, conditions) => {
    const rule = ruleOf(conditions);
    expect(await lintRules(`${rule}\n\nf(x) if x == input.purpose.session`)).toEqual([
      `${rule.split('\n').length - 1} contradiction`,
    ]);
  });

  test.each([
    ['any two of a list', 'input.request.tools[_] == "a"\n\tinput.request.tools[_] == "b"'],
    ['two members', '"a" in input.request.tools\n\t"b" in input.request.tools'],
    ['a range', 'input.content.bytes > 3\n\tinput.content.bytes < 5'],
    ['a range of one value', 'input.content.bytes >= 3\n\tinput.content.bytes <= 3'],
    ['a list and a value of it', 'input.request.model in {"auto", "small"}\n\tinput.request.model == "auto"'],
    ['not, and false: what is missing is neither', 'not caller.team\n\tnot caller.chats == false'],
    [
      'a condition and its opposite with another input',
      'caller.chats\n\tnot caller.chats with input.request.endpoint as "x"',
    ],
    ['other fields', 'input.purpose.session == "a"\n\tinput.purpose.use_case == "b"'],
    ['a bound and one of another type', 'input.caller.claims.level < 5\n\tinput.caller.claims.level > "a"'],
    ['texts that are not ASCII', 'input.purpose.session > "é"\n\tinput.purpose.session < "f"'],
  ])('accepts %s', async (_, conditions) => {
    expect(await lintRules(ruleOf(conditions))).toEqual([]);
  });

  test('speaks of each body by itself', async () => {
    expect(
      await lintRules('granted if input.request.model == "auto"\n\ngranted if input.request.model == "small"'),
    ).toEqual([]);
  });
});

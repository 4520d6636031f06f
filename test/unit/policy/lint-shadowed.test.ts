import { describe, expect, test } from '@jest/globals';
import { denyOf, FRAME, lintFiles, lintRules } from '../../support/lint-fixture.ts';

const two = (first: string, second: string): string => `holds if {\n\t${first}\n}\n\nholds if {\n\t${second}\n}`;

describe('rules that never decide', () => {
  test.each([
    ['a body with one condition more', 'caller.team', 'caller.team\n\tinput.request.stream'],
    [
      'conditions in another order',
      'caller.team\n\tinput.request.stream',
      'input.request.stream\n\tcaller.chats\n\tcaller.team',
    ],
    [
      'variables of another name',
      'some a in caller.roles\n\ta.classes.cheap',
      'some b in caller.roles\n\tb.classes.cheap\n\tcaller.team',
    ],
    ['sides turned', 'input.content.bytes == 5', '5 == input.content.bytes\n\tcaller.team'],
    ['the same again', 'caller.team', 'caller.team'],
    ['a walk that ends somewhere', 'caller.roles[_].classes.cheap', 'caller.roles[i].classes.cheap\n\ti > 0'],
  ])('finds %s', async (_, first, second) => {
    const line = two(first, '').split('\n').length - 2;
    expect(await lintRules(two(first, second))).toEqual([`${line} shadowed`]);
  });

  test.each([
    ['another condition', 'caller.team', 'caller.chats'],
    ['an opposite', 'caller.team\n\tcaller.chats', 'not caller.team\n\tcaller.chats\n\tinput.request.stream'],
    [
      'two variables where there was one',
      'some a in caller.roles\n\ta.classes.cheap\n\ta.act_for_users',
      'some a in caller.roles\n\tsome b in caller.roles\n\ta.classes.cheap\n\tb.act_for_users',
    ],
    [
      'one variable where there were two',
      'some a in input.request.tools\n\tsome b in input.caller.groups\n\ta < b',
      'some a in input.request.tools\n\tsome b in input.caller.groups\n\tb < a',
    ],
    ['another operator', 'input.content.bytes < 5', 'input.content.bytes > 7\n\tcaller.team'],
    ['another input', 'caller.chats with input.request.endpoint as "messages"', 'caller.chats\n\tcaller.team'],
    [
      'an inner variable that is bound outside',
      'count({x | input.request.tools[x]}) == 0',
      'x := 1\n\tcount({x | input.request.tools[x]}) == 0',
    ],
  ])('accepts %s', async (_, first, second) => {
    expect(await lintRules(two(first, second))).toEqual([]);
  });

  test('finds a refusal that another one makes too, and the later of two with the same conditions', async () => {
    const wide = denyOf('a', 'caller.team', 'input.request.stream');
    expect(await lintRules(`${wide}\n${denyOf('b', 'input.request.stream', 'caller.chats', 'caller.team')}`)).toEqual([
      '16 shadowed',
    ]);
    expect(await lintRules(`${denyOf('b', 'caller.team', 'caller.chats')}\n${denyOf('a', 'caller.team')}`)).toEqual([
      '6 shadowed',
    ]);
    expect(await lintRules(`${wide}\n${denyOf('b', 'input.request.stream', 'caller.team')}`)).toEqual(['16 shadowed']);
    expect(await lintRules(`${wide}\n${denyOf('b', 'input.request.stream', 'not caller.team')}`)).toEqual([]);
  });

  test('sees the other body in another file of the package', async () => {
    const header = 'package rules.x\n\n';
    const remarks = await lintFiles({
      'rules/x/a.rego': `${header}import data.aegis.caller\n\ndefault granted := false\n\ngranted if caller.team\n`,
      'rules/x/b.rego': `${header}import data.aegis.caller as who\n\ngranted if {\n\twho.team\n\tinput.request.stream\n}\n`,
    });
    expect(remarks).toMatchObject([
      { file: 'rules/x/b.rego', line: 5, check: 'shadowed', why: expect.stringContaining('line 7 of rules/x/a.rego') },
    ]);
  });

  test('finds two values at once, which stop the evaluation', async () => {
    expect(await lintRules('n := 1 if caller.team\n\nn := 2 if {\n\tcaller.team\n\tcaller.chats\n}')).toEqual([
      '3 conflict',
    ]);
    expect(await lintRules('n := 1 if caller.team\n\nn := 2 if not caller.team')).toEqual([]);
    expect(await lintRules('n contains 1 if caller.team\n\nn contains 2 if caller.team')).toEqual([]);
    expect(await lintRules('f(a) := 1 if a > 1\n\nf(b) := 2 if {\n\tb > 1\n\tcaller.team\n}')).toEqual(['3 conflict']);
    expect(await lintRules('f("a") := 1 if caller.team\n\nf("b") := 2 if caller.team')).toEqual([]);
  });
});

describe('rules that nothing reads', () => {
  const unused = async (rules: string): Promise<string[]> =>
    (await lintRules(rules, { 'aegis/decision.rego': FRAME })).filter(
      (line) => line.endsWith(' unused') && !line.startsWith('aegis'),
    );

  test('finds a helper whose name is misspelt where it is read, and what only that reads', async () => {
    expect(await unused('granted if {\n\thelpr\n}\n\nhelper if inner\n\ninner if caller.team')).toEqual([
      '5 unused',
      '7 unused',
    ]);
  });

  test('accepts what is read by a grant, a refusal, a function, another package or a template', async () => {
    expect(await unused('granted if helper(1)\n\nhelper(n) if n > least\n\nleast := 0')).toEqual([]);
    expect(
      await unused(`${denyOf('a', 'count(names) > 0')}\nnames contains name if some name in input.caller.groups`),
    ).toEqual([]);
    expect(await unused('granted if $"{text}" == "x"\n\ntext := input.purpose.session')).toEqual([]);
    const other = 'package rules.y\n\ndefault granted := false\n\ngranted if data.rules.x.shared\n';
    expect(
      (await lintRules('shared if caller.team', { 'aegis/decision.rego': FRAME, 'rules/y/y.rego': other })).filter(
        (line) => !line.startsWith('aegis'),
      ),
    ).toEqual([]);
  });

  test('says nothing where there is no frame', async () => {
    expect(await lintRules('helper if caller.team')).toEqual([]);
  });
});

describe('lists in the order of a set', () => {
  test.each([
    ['a set that a rule makes', '[n | some n in names]', ['1 set-order']],
    ['a set made there', '[n | some n in {g | some g in input.caller.groups}]', ['1 set-order']],
    ['the keys of an object', '[n | some n in object.keys(input.upstreams)]', ['1 set-order']],
    ['a set that is sorted', '[n | some n in sort(names)]', []],
    ['a list that is sorted', 'sort([n | some n in names])', []],
    ['a list of a list', '[n | some n in input.request.tools]', []],
    ['a set of a set', '{n | some n in names}', []],
  ])('%s', async (_, term, expected) => {
    expect(await lintRules(`list := ${term}\n\nnames contains name if some name in input.caller.groups`)).toEqual(
      expected,
    );
  });
});

test('numbers that WASM does not keep are found', async () => {
  expect(await lintRules('n := 9007199254740993')).toEqual(['1 large-number']);
  expect(await lintRules('n := 9007199254740991')).toEqual([]);
});

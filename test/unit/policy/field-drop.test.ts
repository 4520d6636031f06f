import { beforeAll, describe, expect, test } from '@jest/globals';
import { requireCompiler } from '../../../gateway/policy/compiler.ts';
import { createPolicy } from '../../../gateway/policy/engine.ts';
import { type DroppedField, dropFields, type NamedInput } from '../../../gateway/policy/field-drop.ts';
import { compile, input, resultOf } from '../../support/policy-fixture.ts';

beforeAll(async () => {
  await requireCompiler();
}, 600_000);

/** A decision that hangs on `allowed`, a set `deny` and whatever else `parts` name. */
const decision = (parts: Record<string, string> = {}): string => {
  const whole: Record<string, string> = {
    allow: 'allowed',
    deny: '[entry | allowed == false; some code in sort(deny); entry := {"code": code, "message": "no", "hint": "", "rule": code}]',
    route:
      '{"candidates": [{"model": "small", "upstream": "openai"}], "reason": "", "experiment": null, "mirror": null}',
    parameters: '{}',
    tools: '{"remove": []}',
    redact: '[]',
    rate: '{"tier": "free", "limits": []}',
    budgets: '[]',
    audit: '{"content": "none", "retention_days": 1}',
    cache: 'null',
    rules: 'sort(deny)',
    ...parts,
  };
  return `{${Object.entries(whole)
    .map(([name, value]) => `"${name}": ${value}`)
    .join(', ')}}`;
};

const drop = async (
  rules: string,
  inputs: NamedInput[],
  parts: Record<string, string> = {},
): Promise<DroppedField[]> => {
  const sources = resultOf(decision(parts), `\ndefault allowed := false\n\n${rules}\n`);
  return dropFields(inputs, await createPolicy(await compile(sources)));
};

const openFields = (dropped: readonly DroppedField[]): string[] =>
  dropped.filter(({ open }) => open.length > 0).map(({ field }) => field);

const STRANGER: NamedInput = { name: 'a stranger', input: input({ caller: { org: 'elsewhere', team: 'x' } }) };
const MEMBER: NamedInput = { name: 'a member', input: input({ caller: { org: 'org', team: 'x' } }) };

describe('field-drop', () => {
  test('finds the rule that allows when nothing denied', async () => {
    const trap = `allowed if count(deny) == 0\n\ndeny contains "stranger" if input.caller.org != "org"`;
    const dropped = await drop(trap, [STRANGER, MEMBER]);
    expect(openFields(dropped)).toEqual(['caller', 'caller.org']);
    const [{ open }] = dropped.filter(({ field }) => field === 'caller.org') as [DroppedField];
    expect(open).toHaveLength(1);
    expect(open[0]).toMatchObject({
      base: { name: 'a stranger' },
      grants: [{ part: 'allow' }],
      whole: { allow: false, rules: ['stranger'] },
      some: { allow: true, rules: [] },
    });
  });

  test('passes a rule that asks for what it needs', async () => {
    const careful = `allowed if {\n\tis_string(input.caller.org)\n\tcount(deny) == 0\n}\n\ndeny contains "stranger" if input.caller.org != "org"`;
    const dropped = await drop(careful, [STRANGER, MEMBER]);
    expect(openFields(dropped)).toEqual([]);
    expect(dropped.length).toBeGreaterThan(50);
    expect(dropped.every(({ decided }) => decided >= 1)).toBe(true);
  });

  test('finds a redaction, a cap and a limit that hang on a field', async () => {
    const rules = `allowed := true

deny := set()

redaction := [{"entity": "email", "action": "tokenize", "in": ["request"], "restore": ["text"]}] if input.caller.kind == "key" else := []

cap := {"max_output_tokens": 100} if input.request.stream == false else := {"max_output_tokens": 900}

limits := [{"scope": "org", "subject": input.caller.org, "concurrent": 1}] if input.caller.org else := []`;
    const dropped = await drop(rules, [MEMBER], {
      redact: 'redaction',
      parameters: 'cap',
      rate: '{"tier": "free", "limits": limits}',
    });
    const parts = Object.fromEntries(
      dropped.flatMap(({ field, open }) => open.map(({ grants }) => [field, grants.map(({ part }) => part)])),
    );
    expect(parts).toEqual({
      caller: ['redact', 'limits'],
      'caller.kind': ['redact'],
      'caller.org': ['limits'],
      request: ['max_output_tokens'],
      'request.stream': ['max_output_tokens'],
    });
  });

  test('takes an evaluation that fails without a field for a refusal', async () => {
    const conflict = `allowed := true\n\ndeny := set()\n\nname := 1 if not input.caller.org\n\nname := 2 if not input.caller.org\n\nreason := "ok" if not name else := name`;
    const route =
      '{"candidates": [{"model": "small", "upstream": "openai"}], "reason": reason, "experiment": null, "mirror": null}';
    expect(openFields(await drop(conflict, [MEMBER], { route }))).toEqual([]);
  });

  test('leaves out no entry that a caller or operator chose, but the fields inside of it', async () => {
    const tagged = structuredClone(MEMBER.input);
    tagged.purpose.tags = { course: 'CS101' };
    tagged.content.pii = { email: 1 };
    tagged.spend = [
      {
        scope: 'team',
        subject: 'x',
        period: '2026-11',
        micro_usd: 1,
        reserved_micro_usd: 0,
        cap_micro_usd: 2,
        age_ms: 0,
      },
    ];
    const dropped = await drop('allowed := true\n\ndeny := set()', [{ name: 'tagged', input: tagged }]);
    const fields = dropped.map(({ field }) => field);
    expect(fields).toEqual(expect.arrayContaining(['purpose.tags', 'upstreams.*.state', 'spend[].cap_micro_usd']));
    expect(fields.filter((field) => /^purpose\.tags\.|^content\.pii\.|^upstreams\.(\*|openai)$/.test(field))).toEqual(
      [],
    );
  });

  test('finds a list of models that is longer when less is known', async () => {
    const list: NamedInput = {
      name: 'a list',
      input: { ...MEMBER.input, request: { ...MEMBER.input.request, endpoint: 'models', model: '' } },
    };
    const extra = '\ndefault allowed := true\n\ndeny := set()\n\nlisted := [] if input.caller.org else := ["small"]\n';
    const policy = await createPolicy(await compile(resultOf(decision(), extra, 'listed')));
    const dropped = dropFields([list], policy);
    expect(openFields(dropped)).toEqual(['caller', 'caller.org']);
    expect(dropped.find(({ field }) => field === 'caller.org')?.open[0]?.grants).toEqual([
      { part: 'models', how: 'small is listed' },
    ]);
  });
});

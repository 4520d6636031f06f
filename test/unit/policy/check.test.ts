import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { checkPolicies } from '../../../gateway/policy/check.ts';
import { CHECKOUT, type Compiler, requireCompiler } from '../../../gateway/policy/compiler.ts';
import { type Finding, placeOf } from '../../../gateway/policy/finding.ts';
import { MODELS, withFolder, writeFiles } from '../../support/policy-fixture.ts';

let compiler: Compiler;
/** When none of the models in use is near its retirement. */
const CLOCK = { nowMs: Date.parse('2026-06-01T00:00:00Z') };
beforeAll(async () => {
  compiler = await requireCompiler();
}, 600_000);

/** The findings about a rule file of package rules.x, and the other files given. */
const check = (rego: string, files: Record<string, string> = {}): Promise<Finding[]> =>
  withFolder(async (folder) => {
    const policies = join(folder, 'policies');
    const header = rego.startsWith('package') ? '' : 'package rules.x\n\n';
    await writeFiles(policies, {
      'models/data.json': JSON.stringify(MODELS),
      'rules/x/granted.rego': 'package rules.x\n\ndefault granted := false\n',
      'rules/x/x.rego': `${header}${rego}\n`,
      ...files,
    });
    return checkPolicies(policies, compiler, CLOCK);
  });

const METADATA = '# METADATA\n# title: A\n# description: B\n# custom:\n#   code: a\n';
const denyIf = (body: string): string => `${METADATA}deny contains {"rule": "x.a", "code": "a"} if {\n\t${body}\n}`;

describe('checkPolicies', () => {
  test('finds a model without a price where there is no default one', async () => {
    const { usd_per_million_tokens: _, ...unpriced } = Object.values(MODELS)[0]!;
    const models = { 'models/data.json': JSON.stringify({ ...MODELS, free: unpriced }) };
    expect(await check('x := 1', models)).toMatchObject([
      { check: 'data', why: expect.stringContaining('models.free: it has no price') },
    ]);
    const prices = { 'default_prices/data.yaml': '{ input: 10, output: 50 }\n' };
    expect(await check('x := 1', { ...models, ...prices })).toEqual([]);
    expect(await check('x := 1', { ...models, 'default_prices/data.yaml': '{ input: 10 }\n' })).toMatchObject([
      { file: 'policies/default_prices/data.yaml', check: 'data' },
    ]);
  });

  test('finds nothing in the default policies', async () => {
    expect(await checkPolicies(join(CHECKOUT, 'policies'), compiler, CLOCK)).toEqual([]);
  });

  test('time alone makes warnings of the default policies, never errors', async () => {
    const findings = await checkPolicies(join(CHECKOUT, 'policies'), compiler, { nowMs: Date.parse('2040-01-01') });
    expect(findings.length).toBeGreaterThan(0);
    for (const { level, check } of findings) expect([level, check]).toEqual(['warning', 'deprecated-model']);
  });

  test.each<[string, string, string, number]>([
    ['an allow that only counts denials', 'allow if count(deny) == 0\n\ndeny := set()', 'absence-grants', 3],
    [
      'an allow that counts denials through a variable',
      'allow if {\n\tn := count(deny)\n\tn == 0\n}\n\ndeny := set()',
      'absence-grants',
      3,
    ],
    ['an allow that only negates', 'granted if not denied\n\ndenied if input.request.stream', 'absence-grants', 3],
    ['an allow without a condition', 'allow := true', 'absence-grants', 3],
    ['an allow by default', 'default allow := true', 'open-default', 3],
    [
      'a grant to whoever lacks a field',
      'granted if {\n\tinput.request.stream\n\tnot input.request.model\n}',
      'missing-grants',
      5,
    ],
    ['a negated comparison of a field', denyIf('not input.content.bytes <= 5'), 'negated-input', 9],
    ['a negated call on a field', denyIf('not startswith(input.request.model, "x")'), 'negated-input', 9],
    ['a negated membership of a field', denyIf('not input.request.model in {"x"}'), 'negated-input', 9],
    ['sprintf', 'message := sprintf("%v", [input.request.id])', 'sprintf', 3],
    ['sprintf inside a comprehension', 'm := [sprintf("%v", [t]) | some t in input.request.tools]', 'sprintf', 3],
    [
      'replace with a search string from the input',
      'm := replace(input.request.id, input.request.model, "x")',
      'replace-search',
      3,
    ],
    ['replace with an empty search string', 'm := replace(input.request.id, "", "x")', 'replace-search', 3],
    ['a string compared with a number', denyIf('input.request.model >= 5'), 'types', 9],
    ['a number compared with a string', denyIf('input.content.bytes > "9"'), 'types', 9],
    ['an order of what may be null', denyIf('input.request.max_output_tokens < 5'), 'null-order', 9],
    ['a group that RE2 does not know', 'm := regex.match(`(?<a>x)`, input.request.id)', 'named-group', 3],
    [
      'a deny rule without METADATA',
      'deny contains {"rule": "x.a", "code": "a"} if input.request.stream',
      'deny-metadata',
      3,
    ],
    [
      'a deny rule without a code',
      '# METADATA\n# title: A\ndeny contains {"code": "a"} if input.request.stream',
      'deny-metadata',
      5,
    ],
    [
      'a deny rule with another code than its METADATA',
      `${METADATA}deny contains {"rule": "x.a", "code": "b"} if input.request.stream`,
      'deny-code',
      8,
    ],
    [
      'a deny rule with the name of another',
      `${METADATA}deny contains {"rule": "y.a", "code": "a"} if input.request.stream`,
      'deny-rule',
      8,
    ],
    ['a mirror, which no stage executes', 'route := {"candidates": [], "mirror": "small"}', 'not-executed', 3],
    ['a cache, which no stage executes', 'd := {"cache": {"ttl_s": 5}}', 'not-executed', 3],
    [
      'redaction of answers, which no stage executes',
      'redact := [{"entity": "email", "in": ["request", "response"]}]',
      'not-executed',
      3,
    ],
    ['a misspelt field', denyIf('input.request.modle == "x"'), 'rego_type_error', 9],
    ['a package that is imported and not used', 'import data.models\n\nm := 1', 'rego_compile_error', 3],
    ['a file that is not formatted', 'm   :=   1', 'format', 0],
  ])('finds %s, where it is', async (_, rego, kind, line) => {
    const findings = await check(rego);
    expect(findings.map((finding) => [finding.check, finding.file, finding.line])).toContainEqual([
      kind,
      'policies/rules/x/x.rego',
      line,
    ]);
    for (const { why, fix } of findings) expect([why.length > 10, fix.length > 5]).toEqual([true, true]);
  });

  test.each([
    [
      'a grant that names what it needs and that nothing denied',
      'granted if {\n\tinput.caller.org in {"a"}\n\tcount(deny) == 0\n}\n\ndeny := set()',
    ],
    ['a grant by a count above zero', 'granted if count(input.request.tools) > 0'],
    ['a negated helper', `${denyIf('not known')}\n\nknown if input.request.model == "small"`],
    ['a negated look-up', denyIf('not data.models[input.request.model]')],
    [
      'an order of what was asked to be a number',
      denyIf('is_number(input.request.max_output_tokens)\n\tinput.request.max_output_tokens < 5'),
    ],
    ['replace with a constant', 'm := replace(input.request.id, "a", "b")'],
    ['a mirror of null', 'route := {"candidates": [], "mirror": null, "cache": null}'],
  ])('accepts %s', async (_, rego) => {
    expect((await check(rego)).filter((finding) => finding.check !== 'format')).toEqual([]);
  });

  test('finds a folder that can only deny, wherever in it the default could stand', async () => {
    const grants = async (files: Record<string, string>): Promise<string[]> =>
      (await check('m := 1', files))
        .filter((finding) => finding.check === 'no-grant')
        .map((finding) => `${finding.file}:${finding.line}`);
    const deny = `# A comment.\npackage rules.y\n\n${denyIf('input.request.stream').replaceAll('x.a', 'y.a')}\n`;
    expect(await grants({ 'rules/y/y.rego': deny })).toEqual(['policies/rules/y/y.rego:2']);
    const needs = '\ngranted if is_boolean(input.request.stream)\n';
    expect(await grants({ 'rules/y/y.rego': deny + needs })).toEqual(['policies/rules/y/y.rego:2']);
    expect(await grants({ 'rules/y/y.rego': `${deny}\ndefault granted := false\n${needs}` })).toEqual([]);
    expect(
      await grants({ 'rules/y/y.rego': deny, 'rules/y/z.rego': `package rules.y\n\ndefault granted := false\n` }),
    ).toEqual([]);
    expect(await grants({ 'rules/y/h.rego': 'package rules.y.helper\n\na := 1\n' })).toEqual([]);
  }, 60_000);

  test('finds a file of data that would be ignored, unless it says that it is none', async () => {
    const named = (findings: Finding[]): string[] => findings.map((finding) => `${placeOf(finding)} ${finding.check}`);
    expect(named(await check('m := 1', { 'tiers/tiers.yaml': 'free: {}\n' }))).toEqual([
      'policies/tiers/tiers.yaml data-name',
    ]);
    expect(named(await check('m := 1', { 'tiers/tiers.yaml': '# aegis: not data\nfree: {}\n' }))).toEqual([]);
    expect(named(await check('m := 1', { 'scenarios/a.yaml': 'name: x\n' }))).toEqual([]);
  });

  test('finds wrong data at their line and column', async () => {
    await withFolder(async (folder) => {
      const policies = join(folder, 'policies');
      await cp(join(CHECKOUT, 'policies'), policies, { recursive: true });
      const change = async (file: string, from: string, to: string): Promise<string[]> => {
        const { readFile } = await import('node:fs/promises');
        const text = await readFile(join(CHECKOUT, 'policies', file), 'utf8');
        expect(text).toContain(from);
        await writeFiles(policies, { [file]: text.replace(from, to) });
        const findings = await checkPolicies(policies, compiler, CLOCK);
        await writeFiles(policies, { [file]: text });
        const line = text.slice(0, text.indexOf(from)).split('\n').length;
        return findings.map(
          (found) => `${found.check} ${found.line === line ? 'there' : placeOf(found)}: ${found.why}`,
        );
      };
      expect(
        await change(
          'organizations/data.yaml',
          'cs101: { title: Introduction to programming, tier: standard',
          'cs101: { title: Introduction to programming, tier: standrd',
        ),
      ).toEqual([expect.stringMatching(/^reference there: .*tier: "standrd" is not in tiers/)]);
      expect(
        await change(
          'routing/data.yaml',
          'model: gpt-5.4-nano, upstream: openai',
          'model: gpt-5.4-nano, upstream: mistral',
        ),
      ).toEqual([expect.stringMatching(/^reference there: .*"mistral" is not in models.gpt-5.4-nano.upstreams/)]);
      expect(
        await change(
          'routing/data.yaml',
          'model: gpt-5.4-nano, upstream: openai',
          'model: text-embedding-3-small, upstream: openai',
        ),
      ).toEqual([
        expect.stringMatching(/^reference there: .*"text-embedding-3-small" is not in models that answer chat/),
      ]);
      expect(await change('models/data.yaml', 'endpoints: [ embeddings ]', 'endpoints: [ embedings ]')).toEqual([
        expect.stringMatching(/^data there: models.text-embedding-3-small.endpoints.0: not one of the known values/),
      ]);
      expect(await change('roles/data.yaml', 'responses: true', 'response: true')).toEqual([
        expect.stringMatching(/^data there: roles.student.endpoints.response: /),
      ]);
      expect(await change('roles/data.yaml', 'admin.upstreams: true', 'admin.keys: true')).toEqual([
        expect.stringMatching(/^data there: roles.admin.admin.admin.keys: /),
      ]);
      expect(await change('roles/data.yaml', 'daily_budget: { usd: 2 }', 'dayly_budget: { usd: 2 }')).toEqual([
        expect.stringMatching(/^data there: roles.student.dayly_budget: unknown field/),
      ]);
      expect(await change('tiers/data.yaml', 'max_output_tokens: 1024', 'max_output_tokens: many')).toEqual([
        expect.stringMatching(/^data there: tiers.free.max_output_tokens: must be integer/),
      ]);
      expect((await change('tiers/data.yaml', 'free:', 'free: [')).length).toBeGreaterThan(0);
      // Its team b would have the budget of team x/b of the organisation before the slash.
      expect(await change('organizations/data.yaml', 'demo-college:', 'demo-university/x:')).toContainEqual(
        expect.stringMatching(/^data there: organizations.demo-university\/x: "demo-university\/x" must match/),
      );
    });
  }, 60_000);
});

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { runAllTests } from '../../../gateway/cli/run-all-tests.ts';
import { testCommand } from '../../../gateway/cli/test.ts';
import { testReport } from '../../../gateway/cli/test-report.ts';
import { type Compiler, requireCompiler } from '../../../gateway/policy/compiler.ts';
import { allowAll, withFolder, writeFiles } from '../../support/policy-fixture.ts';
import { runCommand } from '../../support/run-command.ts';

let compiler: Compiler;
beforeAll(async () => {
  compiler = await requireCompiler();
}, 600_000);

const CI = process.env.CI;
afterEach(() => {
  if (CI === undefined) delete process.env.CI;
  else process.env.CI = CI;
});

/** Runs the command on `policies/` of a folder, as at a desk: what it prints, and its exit code. */
const aegisTest = async (folder: string, ...flags: string[]): Promise<{ code: number; out: string }> => {
  if (!flags.includes('--in-ci')) delete process.env.CI;
  const before = process.exitCode;
  process.exitCode = 0;
  try {
    const args = [join(folder, 'policies'), ...flags.filter((flag) => flag !== '--in-ci')];
    const out = await runCommand(testCommand(), ...args);
    return { out, code: Number(process.exitCode) };
  } finally {
    process.exitCode = before;
  }
};

const SCENARIOS = `# yaml-language-server: $schema=../../schemas/scenario.json
# Questions.
name: a question is answered by the small model
given:
  caller: { org: any, roles: [] }
request:
  endpoint: chat.completions
  body: { model: auto, messages: [{ role: user, content: Hello }] }
expect: { allow: true, model: small, sends: [Hello] } # nothing is masked
---
name: a body that the gateway refuses is no allow
given:
  caller: { org: any, roles: [] }
request:
  endpoint: chat.completions
  body: { model: 7 }
expect: { allow: false }
`;

const UNIT = `package aegis_test

import data.aegis

test_allows if aegis.decision.allow

test_lists_models if aegis.models == ["small"]
`;

const TRAP = `package aegis

# METADATA
# title: Stranger
# custom:
#   code: stranger
deny contains "aegis.stranger" if input.caller.org != "any"

default open := false

open if count(deny) == 0

refusals := [{"code": "stranger", "message": "Not yours.", "hint": "Ask your own.", "rule": rule} | some rule in deny]

candidates := [{"model": "small", "upstream": "openai"}] if open else := []

decision := {
	"allow": open, "deny": refusals,
	"route": {"candidates": candidates, "reason": "", "experiment": null, "mirror": null},
	"parameters": {}, "tools": {"remove": []}, "redact": [],
	"rate": {"tier": "free", "limits": []}, "budgets": [],
	"audit": {"content": "none", "retention_days": 1},
	"cache": null, "rules": sort(deny),
}

models := ["small"]

admin := {"allow": false, "deny": []}
`;

const policies = (change: Record<string, string | undefined> = {}): Record<string, string> => {
  const files = { ...allowAll(), 'aegis/decision_test.rego': UNIT, 'scenarios/small.yaml': SCENARIOS, ...change };
  return Object.fromEntries(
    Object.entries(files).flatMap(([name, text]) => (text === undefined ? [] : [[`policies/${name}`, text]])),
  );
};

const scenario = (from: string, to: string): Record<string, string> => ({
  'scenarios/small.yaml': SCENARIOS.replace(from, to),
});

describe('aegis test', () => {
  test('runs every kind of test, and writes JUnit and JSON', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies());
      const xml = join(folder, 'junit.xml');
      const { code, out } = await aegisTest(folder, '--junit', xml);
      expect(code).toBe(0);
      expect(out).toMatch(/^unit tests +3 passed, \d+ % of the lines$/m);
      expect(out).toMatch(/^on WASM +(2 passed|skipped)/m);
      expect(out).toMatch(/^scenarios +2 passed$/m);
      expect(out).toMatch(/^field-drop +\d+ passed, \d+ decisions on 97 inputs, each without one field$/m);
      expect(out).toMatch(/^differential +97 passed$/m);
      const suites = [...(await readFile(xml, 'utf8')).matchAll(/<testsuite name="([^"]+)"/g)].map(([, name]) => name);
      expect(suites).toEqual(['rego', 'wasm', 'scenarios', 'field-drop', 'differential']);
      const json = JSON.parse((await aegisTest(folder, '--json')).out);
      expect(json).toMatchObject({ ok: true, coverage: expect.any(Number), updates: [] });
      expect(json.suites.map(({ name }: { name: string }) => name)).toEqual(suites);
      expect(json.results.find(({ suite }: { suite: string }) => suite === 'scenarios')).toMatchObject({
        name: 'a question is answered by the small model',
        file: 'policies/scenarios/small.yaml',
        line: 3,
      });
    });
  }, 120_000);

  test.each<[string, Record<string, string | undefined>, RegExp]>([
    ['there is no unit test', { 'aegis/decision_test.rego': undefined }, /unit tests: there are unit tests\n/],
    ['there is no scenario', { 'scenarios/small.yaml': undefined }, /scenarios: there are scenarios\n/],
    [
      'a unit test fails',
      { 'aegis/decision_test.rego': `${UNIT}\ntest_wrong if aegis.models == []\n` },
      /aegis_test\.test_wrong\n +policies\/aegis\/decision_test\.rego:\d+/,
    ],
    [
      'a scenario is misspelt',
      scenario('name: a q', 'nmae: a q'),
      /policies\/scenarios\/small\.yaml:3:1 nmae: unknown field, did you mean name\?/,
    ],
    [
      'a scenario expects nothing yet',
      scenario('expect: { allow: false }', 'expect: {}'),
      /small\.yaml:11 it expects nothing: run aegis test --update to write what happens/,
    ],
    [
      'tests reach too few lines',
      {
        'rules/x/x.rego': `package rules.x\n\n${Array.from({ length: 40 }, (_, n) => `r${n} if input.request.id == "${n}"`).join('\n\n')}\n`,
      },
      /at least 80 % of the lines are tested\n[\s\S]* {4}policies\/rules\/x\/x\.rego: lines 3, 5, 7/,
    ],
    [
      'no valid decision comes for a valid input',
      { 'aegis/decision.rego': TRAP.replace('"allow": open', '"allow": 7') },
      /scenarios: the built bundle can serve\n +policy\.wasm: no valid decision/,
    ],
  ])(
    'fails when %s',
    async (_, change, message) => {
      await withFolder(async (folder) => {
        await writeFiles(folder, policies(change));
        const { code, out } = await aegisTest(folder);
        expect(out).toMatch(message);
        expect(code).toBe(1);
      });
    },
    120_000,
  );

  test('asks for as much coverage as it is told to', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies({ 'rules/x/x.rego': 'package rules.x\n\na if input.request.id == "1"\n' }));
      expect(await aegisTest(folder, '--coverage', '100')).toMatchObject({
        code: 1,
        out: expect.stringMatching(/at least 100 % of the lines/),
      });
      expect(await aegisTest(folder, '--coverage', '1')).toMatchObject({ code: 0 });
      await expect(aegisTest(folder, '--coverage', 'much')).rejects.toThrow(/want a number from 0 to 100/);
    });
  }, 120_000);

  test('runs what matches alone, and says when nothing does', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies(scenario('allow: false', 'allow: true')));
      const { code, out } = await aegisTest(folder, '--only', 'SMALL model|lists');
      expect(out).toMatch(/unit tests +1 passed\n/);
      expect(out).toMatch(/scenarios +1 passed\n/);
      expect(out).toMatch(/on 1 input,/);
      expect(code).toBe(0);
      await expect(aegisTest(folder, '--only', 'large')).rejects.toThrow(/has a name that matches large/);
      await expect(aegisTest(folder, '--only', '(')).rejects.toThrow(/Unterminated group/);
    });
  }, 120_000);
});

describe('a failing scenario', () => {
  test('shows expected and actual side by side, texts as a diff, and the rules that decided', async () => {
    await withFolder(async (folder) => {
      const text = SCENARIOS.replace('org: any', 'org: other')
        .replace('model: small', 'code: stranger, hint: Ask somebody else, tier: gold')
        .replace('sends: [Hello]', `leaves: [Hello]`);
      await writeFiles(
        folder,
        policies({ 'scenarios/small.yaml': text, 'aegis/decision.rego': TRAP, 'aegis/decision_test.rego': undefined }),
      );
      const { out } = await aegisTest(folder);
      const shown = out.slice(out.indexOf('FAILED  scenarios: a question'));
      expect(shown.slice(0, shown.indexOf('\n\n'))).toBe(`FAILED  scenarios: a question is answered by the small model
    policies/scenarios/small.yaml:3
                      expected           actual
    allow             true               false
    hint              Ask somebody else  Ask your own.
    tier              gold               free
    leaves            Hello              nothing is sent
    refused by
      aegis.stranger  policies/aegis/decision.rego:7  Stranger`);
    });
  }, 60_000);
});

describe('field-drop', () => {
  test('names the scenario, the field, what is granted more, and the rule that fell silent', async () => {
    await withFolder(async (folder) => {
      const refused = SCENARIOS.replace('org: any', 'org: other').replace(
        'allow: true, model: small, sends: [Hello]',
        'allow: false, code: stranger',
      );
      await writeFiles(folder, policies({ 'scenarios/small.yaml': refused, 'aegis/decision.rego': TRAP }));
      const { out, code } = await aegisTest(folder, '--only', 'question');
      expect(code).toBe(1);
      const shown = out.slice(out.indexOf('FAILED  field-drop: without caller.org'));
      expect(shown.slice(0, shown.indexOf('first.\n') + 7)).toBe(`FAILED  field-drop: without caller.org
    more is granted when caller.org is missing, to 1 of 1 inputs:

    a question is answered by the small model  (policies/scenarios/small.yaml:3)
      allow              allowed, though not with it
      rules that are silent without it
        aegis.stranger  policies/aegis/decision.rego:7  Stranger

    fix: a rule that reads a missing field is undefined, so it does not deny. Let granted of its folder ask for input.caller.org first.
`);
    });
  }, 60_000);
});

describe('the differential test', () => {
  test('shows what the engines say side by side', async () => {
    await withFolder(async (folder) => {
      const sources = policies();
      const text = sources['policies/aegis/decision.rego'] as string;
      sources['policies/aegis/decision.rego'] = text.replace('"rules": []', '"rules": {"delta", "alpha", "echo"}');
      await writeFiles(folder, sources);
      const { out, code } = await aegisTest(folder, '--only', 'question');
      expect(code).toBe(1);
      expect(out).toMatch(
        /FAILED {2}differential: a question is answered by the small model\n {4}policies\/scenarios\/small\.yaml:3\n {4}aegis\/decision: the bundle does not say what the rules say\n {24}interpreter +WASM\n {6}rules +\["alpha","delta","echo"\] +\[[^\n]+\]\n {6}fix: the same entries in another order are a set/,
      );
    });
  }, 60_000);

  test('takes another interpreter, and shows no value for what it is', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies());
      const tests = await runAllTests(join(folder, 'policies'), compiler, {
        only: /question/,
        interpret: async (inputs) => inputs.map(() => ({ error: 'it conflicts' })),
      });
      expect(tests.ok).toBe(false);
      expect(testReport(tests).join('\n')).toMatch(/no value: it conflicts/);
    });
  }, 60_000);
});

describe('aegis test --update', () => {
  const WRONG = SCENARIOS.replace(
    'model: small, sends: [Hello]',
    "model: 'large', sends: [Good bye], stays: [Hello], tier: free",
  )
    .replace('expect: { allow: false }', 'expect:\n  # once it was\n  allow: true # surely\n  code: null')
    .concat(`---
name: a question that nobody has judged yet
given:
  caller: { org: any, roles: [] }
request:
  endpoint: chat.completions
  body: { model: auto, messages: [{ role: user, content: Hello }] }
expect: {}
`);

  test('rewrites what is there to what happened, and keeps comments, order and form', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies({ 'scenarios/small.yaml': WRONG }));
      const { out } = await aegisTest(folder, '--update');
      const written = await readFile(join(folder, 'policies/scenarios/small.yaml'), 'utf8');
      expect(written).toBe(
        WRONG.replace("model: 'large', sends: [Good bye]", 'model: small, sends: [Hello]')
          .replace('allow: true # surely\n  code: null', 'allow: false # surely\n  code: invalid_field')
          .replace(
            'expect: {}\n',
            'expect:\n  allow: true\n  model: small\n  upstream: openai\n  sends: [Hello]\n  tier: free\n',
          ),
      );
      expect(out).toMatch(/rewritten: 3 scenarios\. Review each change/);
      expect(out).toMatch(
        / {2}policies\/scenarios\/small\.yaml:3 {2}a question is answered[^\n]*\n {6}model: "large" → "small"\n {6}sends: /,
      );
      expect(out).toMatch(
        /!! 1 of them turned a decision round:\n +allowed before, refused now {2}policies\/scenarios\/small\.yaml:11/,
      );
      // What must not leave is a person's word: it stays, and fails.
      expect(out).toMatch(
        /FAILED {2}scenarios: a question is answered by the small model\n[^\n]+\n {4}stays\n {6}expected {2}Hello\n/,
      );
      const again = await aegisTest(folder, '--update');
      expect(again.out).not.toMatch(/rewritten/);
      expect(await readFile(join(folder, 'policies/scenarios/small.yaml'), 'utf8')).toBe(written);
    });
  }, 120_000);

  test('exits 0 when everything holds afterwards', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies(scenario('model: small', 'model: large')));
      expect((await aegisTest(folder, '--update')).code).toBe(0);
      expect((await aegisTest(folder)).code).toBe(0);
    });
  }, 120_000);

  test('leaves a scenario alone for which there is no decision', async () => {
    await withFolder(async (folder) => {
      // Only a request with this tool gets two answers.
      const conflict = (allowAll()['aegis/decision.rego'] as string).replace('"reason": "fixture"', '"reason": reason');
      const extra = '\nreason := "a" if true\n\nreason := "b" if "twice" in input.request.tools\n';
      const text = SCENARIOS.replace(
        'messages:',
        'tools: [{ type: function, function: { name: twice, parameters: {} } }], messages:',
      ).replace('model: small', 'model: large');
      await writeFiles(folder, policies({ 'aegis/decision.rego': conflict + extra, 'scenarios/small.yaml': text }));
      const { out, code } = await aegisTest(folder, '--update', '--only', 'question');
      expect(out).toMatch(/small\.yaml:3 The policy could not decide this request/);
      expect(code).toBe(1);
      expect(await readFile(join(folder, 'policies/scenarios/small.yaml'), 'utf8')).toBe(text);
    });
  }, 60_000);

  test('is refused where CI is set, and writes nothing', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies());
      await writeFile(join(folder, 'policies/scenarios/small.yaml'), WRONG);
      process.env.CI = 'true';
      await expect(aegisTest(folder, '--update', '--in-ci')).rejects.toThrow(/CI is set/);
      expect(await readFile(join(folder, 'policies/scenarios/small.yaml'), 'utf8')).toBe(WRONG);
    });
  });
});

import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { readScenarios, type ScenarioEntry } from '../../../gateway/cli/scenario-file.ts';
import { withFolder, writeFiles } from '../../support/policy-fixture.ts';

const read = (text: string): Promise<ScenarioEntry[]> =>
  withFolder(async (folder) => {
    await writeFiles(folder, { 'policies/scenarios/a.yaml': text, 'policies/scenarios/notes.txt': 'no scenario' });
    return (await readScenarios(join(folder, 'policies'))).flatMap(({ entries }) => entries);
  });

const problems = async (text: string): Promise<string[]> =>
  (await read(text)).flatMap((entry) => entry.problems.map(({ line, column, why }) => `${line}:${column} ${why}`));

const WHOLE = `# a comment
name: one
given: { caller: { org: any, roles: [] } }
request: { endpoint: models }
expect: { allow: true }
`;

describe('a file of scenarios', () => {
  test('has one in each document, with the line where it begins', async () => {
    const entries = await read(`${WHOLE}---\n${WHOLE.replace('one', 'two')}`);
    expect(entries.map(({ name, file, line, problems: found }) => [name, file, line, found])).toEqual([
      ['one', 'policies/scenarios/a.yaml', 2, []],
      ['two', 'policies/scenarios/a.yaml', 8, []],
    ]);
    expect(entries[1]?.scenario).toMatchObject({ name: 'two', expect: { allow: true } });
  });

  test('may have scenarios that expect nothing yet', async () => {
    for (const expected of ['', 'expect:\n', 'expect: {}\n', 'expect: null\n']) {
      const [entry] = await read(WHOLE.replace('expect: { allow: true }\n', expected));
      expect([expected, entry?.problems, entry?.scenario?.expect]).toEqual([expected, [], undefined]);
    }
  });

  test('is missing where there is no folder of them', async () => {
    expect(await withFolder((folder) => readScenarios(folder))).toEqual([]);
  });
});

describe('what is wrong in a scenario is said with line, column and field', () => {
  test.each<[string, string, string[]]>([
    [
      'YAML that is none',
      'name: [one\n',
      ['2:1 Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
    ['a field twice', `${WHOLE}name: two\n`, ['6:1 Map keys must be unique']],
    ['an empty document', `${WHOLE}---\n`, ['6:4 the document is empty: remove its ---']],
    ['a misspelt field', WHOLE.replace('name', 'nmae'), ['2:1 nmae: unknown field, did you mean name?']],
    [
      'a misspelt field deep inside',
      WHOLE.replace('roles', 'rolls'),
      ['3:30 given.caller.rolls: unknown field, did you mean roles?'],
    ],
    [
      'a field that nothing is near to',
      WHOLE.replace('{ endpoint: models }', '{ endpoint: models, temperature: 1 }'),
      ['4:30 request.temperature: unknown field, known are endpoint, body'],
    ],
    ['a missing field', WHOLE.replace('request: { endpoint: models }\n', ''), ['2:1 the scenario: request is missing']],
    ['a missing field inside', WHOLE.replace('allow: true', 'tier: x'), ['5:1 expect: allow is missing']],
    ['a value of another type', WHOLE.replace('true', 'maybe'), ['5:11 expect.allow: must be boolean']],
    [
      'a misspelt value',
      WHOLE.replace('allow: true', 'allow: true, audit: redactd'),
      ['5:24 expect.audit: "redactd" is none of full, redacted, none, null; did you mean redacted?'],
    ],
    [
      'a misspelt field in one of two forms',
      WHOLE.replace(
        '{ caller: { org: any, roles: [] } }',
        '{ caller: { org: any, roles: [] }, upstreams: { local: { stat: up } } }',
      ),
      ['3:65 given.upstreams.local.stat: unknown field, did you mean state?'],
    ],
    [
      'two things at once',
      WHOLE.replace('true', '1').replace('endpoint', 'endpont'),
      ['4:12 request.endpont: unknown field, did you mean endpoint?', '5:11 expect.allow: must be boolean'],
    ],
  ])('%s', async (_, text, expected) => {
    expect(await problems(text)).toEqual(expected);
  });
});

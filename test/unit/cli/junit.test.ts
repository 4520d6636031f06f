import { describe, expect, test } from '@jest/globals';
import { SaxesParser } from 'saxes';
import { junit } from '../../../gateway/cli/junit.ts';
import type { TestSuite } from '../../../gateway/policy/test-result.ts';

interface Element {
  name: string;
  attributes: Record<string, string>;
  children: Element[];
  text: string;
}

/** Read by a parser that refuses what is not well-formed XML 1.0. */
const read = (xml: string): Element => {
  const root: Element = { name: '', attributes: {}, children: [], text: '' };
  const open = [root];
  const parser = new SaxesParser();
  parser.on('opentag', ({ name, attributes }) => {
    const element: Element = { name, attributes: { ...attributes } as Record<string, string>, children: [], text: '' };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on('text', (text) => {
    const element = open.at(-1);
    if (element) element.text += text;
  });
  parser.on('closetag', () => void open.pop());
  parser.on('error', (error) => {
    throw error;
  });
  parser.write(xml).close();
  return root.children[0] as Element;
};

const SUITES: TestSuite[] = [
  {
    name: 'rego',
    results: [
      { suite: 'rego', name: 'a.test_x', ok: true, detail: '', ms: 1500, file: 'policies/a/a_test.rego', line: 3 },
      { suite: 'rego', name: 'at least 80 %', ok: false, detail: 'a.rego: lines 1-3\r\n\tnot run', ms: 0 },
    ],
    note: '75 % of the lines',
  },
  { name: 'wasm', results: [], skipped: 'no "WASM" here' },
  {
    name: 'scenarios',
    results: [
      {
        suite: 'scenarios',
        name: 'Anna & <Bob> say "hi"\u0000\u001b[31m\ud800\uffff ü 😀',
        ok: false,
        detail: ']]> & </failure>\u0007',
        ms: 250,
        file: 'policies/scenarios/x.yaml',
        line: 12,
      },
    ],
  },
];

describe('JUnit XML', () => {
  const root = read(junit(SUITES, 75.5));

  test('counts each suite, and all of them', () => {
    expect(root).toMatchObject({ name: 'testsuites', attributes: { tests: '3', failures: '2', time: '1.750' } });
    expect(root.children.map(({ attributes: { name, tests, failures } }) => [name, tests, failures])).toEqual([
      ['rego', '2', '1'],
      ['wasm', '0', '0'],
      ['scenarios', '1', '1'],
    ]);
  });

  test('names the place of a test, and how long it took', () => {
    const [first] = root.children[0]?.children.filter(({ name }) => name === 'testcase') ?? [];
    expect(first?.attributes).toEqual({
      classname: 'rego.policies.a.a_test',
      name: 'a.test_x',
      file: 'policies/a/a_test.rego',
      line: '3',
      time: '1.500',
    });
    expect(first?.children).toEqual([]);
  });

  test('has coverage, and why a suite was skipped, as properties', () => {
    const properties = root.children.map(({ children }) =>
      children
        .filter(({ name }) => name === 'properties')
        .flatMap((element) => element.children.map(({ attributes: { name, value } }) => [name, value])),
    );
    expect(properties).toEqual([
      [
        ['coverage', '75.5'],
        ['note', '75 % of the lines'],
      ],
      [['skipped', 'no "WASM" here']],
      [],
    ]);
  });

  test('says what failed, whatever characters are in it', () => {
    const [, coverage] = root.children[0]?.children.filter(({ name }) => name === 'testcase') ?? [];
    expect(coverage?.children[0]).toMatchObject({
      name: 'failure',
      attributes: { message: 'a.rego: lines 1-3 not run' },
      text: 'a.rego: lines 1-3\r\n\tnot run',
    });
    const scenario = root.children[2]?.children[0];
    expect(scenario?.attributes.name).toBe('Anna & <Bob> say "hi"\ufffd\ufffd[31m\ufffd\ufffd ü 😀');
    expect(scenario?.children[0]?.text).toBe(']]> & </failure>\ufffd');
  });
});

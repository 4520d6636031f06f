import { describe, expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import { CHECKS } from '../../../gateway/policy/check-catalogue.ts';
import type { Finding } from '../../../gateway/policy/finding.ts';
import { findingsMarkdown } from '../../../gateway/policy/finding-markdown.ts';
import { findingsSarif } from '../../../gateway/policy/finding-sarif.ts';
import { findingsText } from '../../../gateway/policy/finding-text.ts';

const FINDINGS: Finding[] = [
  {
    level: 'warning',
    file: 'policies/a b/ü.rego',
    line: 3,
    column: 2,
    check: 'unused',
    why: 'nobody | reads <it>',
    fix: 'use it',
  },
  { level: 'error', file: 'policies/tiers/data.yaml', line: 0, check: 'format', why: 'it is `odd`', fix: 'mend it' },
  {
    level: 'error',
    file: 'policies/x.rego',
    line: 7,
    column: 1,
    check: 'rego_type_error',
    why: 'undefined ref',
    fix: 'see',
  },
];

/**
 * What sarif-schema-2.1.0.json (OASIS) says of the parts that are written here, with no field beside those, and what
 * code scanning requires on top: a region, a rule's help.
 */
const text = {
  type: 'object',
  required: ['text'],
  additionalProperties: false,
  properties: { text: { type: 'string', minLength: 1 }, markdown: { type: 'string' } },
};
const level = { enum: ['none', 'note', 'warning', 'error'] };
const closed = (properties: Record<string, object>, required = Object.keys(properties)): object => ({
  type: 'object',
  additionalProperties: false,
  required,
  properties,
});
const list = (items: object, minItems = 0): object => ({ type: 'array', minItems, items });
const SARIF = closed({
  $schema: { type: 'string' },
  version: { const: '2.1.0' },
  runs: list(
    closed({
      tool: closed({
        driver: closed({
          name: { type: 'string' },
          semanticVersion: { type: 'string', pattern: '^\\d+\\.\\d+\\.\\d+' },
          rules: {
            ...list(
              closed({
                id: { type: 'string' },
                shortDescription: text,
                fullDescription: text,
                help: text,
                defaultConfiguration: closed({ level }),
              }),
            ),
            uniqueItems: true,
          },
        }),
      }),
      columnKind: { enum: ['utf16CodeUnits', 'unicodeCodePoints'] },
      results: list(
        closed({
          ruleId: { type: 'string' },
          ruleIndex: { type: 'integer', minimum: 0 },
          level,
          message: text,
          locations: list(
            closed({
              physicalLocation: closed({
                artifactLocation: closed({ uri: { type: 'string', pattern: '^[A-Za-z0-9._~%/-]+$' } }),
                region: closed(
                  { startLine: { type: 'integer', minimum: 1 }, startColumn: { type: 'integer', minimum: 1 } },
                  ['startLine'],
                ),
              }),
            }),
            1,
          ),
          partialFingerprints: { type: 'object', additionalProperties: { type: 'string' } },
        }),
      ),
    }),
    1,
  ),
});

interface Log {
  runs: [
    {
      tool: { driver: { rules: { id: string; defaultConfiguration: { level: string } }[] } };
      results: {
        ruleId: string;
        ruleIndex: number;
        partialFingerprints: object;
        locations: { physicalLocation: { artifactLocation: { uri: string }; region: object } }[];
      }[];
    },
  ];
}

describe('SARIF', () => {
  const sarif = (findings = FINDINGS, prefix = ''): Log => findingsSarif(findings, { version: '0.1.0', prefix }) as Log;

  test('has the shape of SARIF 2.1.0, with and without findings', () => {
    const validate = new Ajv().compile(SARIF);
    for (const log of [sarif(), sarif([])]) {
      validate(log);
      expect(validate.errors ?? []).toEqual([]);
    }
  });

  test('names a rule for every check, and each result points at its own', () => {
    const { tool, results } = sarif().runs[0];
    const { rules } = tool.driver;
    expect(rules.map(({ id }) => id)).toEqual([...Object.keys(CHECKS), 'rego_type_error']);
    for (const { ruleId, ruleIndex } of results) expect(rules[ruleIndex]?.id).toBe(ruleId);
    expect(rules.find(({ id }) => id === 'unused')?.defaultConfiguration.level).toBe('warning');
  });

  test('points at files from the repository’s root, and at the top for what concerns a whole file', () => {
    const places = sarif(FINDINGS, 'gateways/eu').runs[0].results.map(
      ({ locations }) => locations[0]?.physicalLocation,
    );
    expect(places).toEqual([
      { artifactLocation: { uri: 'gateways/eu/policies/a%20b/%C3%BC.rego' }, region: { startLine: 3, startColumn: 2 } },
      { artifactLocation: { uri: 'gateways/eu/policies/tiers/data.yaml' }, region: { startLine: 1 } },
      { artifactLocation: { uri: 'gateways/eu/policies/x.rego' }, region: { startLine: 7, startColumn: 1 } },
    ]);
  });

  test('knows a finding again when lines above it come and go', () => {
    const [first] = FINDINGS as [Finding];
    const print = (finding: Finding): object | undefined => sarif([finding]).runs[0].results[0]?.partialFingerprints;
    expect(print({ ...first, line: 99 })).toEqual(print(first));
    expect(print({ ...first, check: 'shadowed' })).not.toEqual(print(first));
  });
});

describe('Markdown', () => {
  test('is a table with errors first, in which no text of a finding is markup', () => {
    expect(findingsMarkdown(FINDINGS).split('\n')).toEqual([
      '<!-- aegis-check -->',
      '### Policy check: 2 errors, 1 warning',
      '',
      '| level | place | why | what to do | check |',
      '|---|---|---|---|---|',
      '| error | `policies/tiers/data.yaml` | it is &#96;odd&#96; | mend it | format |',
      '| error | `policies/x.rego:7:1` | undefined ref | see | rego&#95;type&#95;error |',
      '| warning | `policies/a b/ü.rego:3:2` | nobody &#124; reads &#60;it&#62; | use it | unused |',
      '',
    ]);
  });

  test('says so when there is nothing, and how many it leaves out', () => {
    expect(findingsMarkdown([])).toBe('<!-- aegis-check -->\n### Policy check: no findings\n\nNothing to mend.\n');
    const many = findingsMarkdown(Array.from({ length: 103 }, () => FINDINGS[0] as Finding));
    expect(many).toContain('3 more are not shown');
    expect(many.split('\n').filter((line) => line.startsWith('| warning'))).toHaveLength(100);
  });
});

test('text has the place as editors open it, what is only a warning, and the counts', () => {
  expect(findingsText(FINDINGS).split('\n')).toEqual([
    'policies/a b/ü.rego:3:2  warning: nobody | reads <it>  [unused]',
    '    fix: use it',
    'policies/tiers/data.yaml  it is `odd`  [format]',
    '    fix: mend it',
    'policies/x.rego:7:1  undefined ref  [rego_type_error]',
    '    fix: see',
    '2 errors, 1 warning',
  ]);
  expect(findingsText([])).toBe('no findings');
});

import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { parse, parseAllDocuments } from 'yaml';
import { initCommand } from '../../../gateway/cli/init.ts';
import { CHECKS } from '../../../gateway/policy/check-catalogue.ts';
import { CHECKOUT } from '../../../gateway/policy/compiler.ts';

const read = (file: string): string => readFileSync(join(CHECKOUT, file), 'utf8');
const json = (file: string): Record<string, unknown> => JSON.parse(read(file)) as Record<string, unknown>;

const settings = json('.vscode/settings.json') as { 'yaml.schemas': Record<string, string> } & Record<string, unknown>;
const mapped = Object.entries(settings['yaml.schemas']);

/** Files that a deployment may have and this checkout has not. */
const OPTIONAL = new Set(['policies/default_prices/data.yaml', initCommand().getOptionValue('config') as string]);

describe('the layout for editors', () => {
  test.each(mapped)('%s is there, and what it is for too', (schema, glob) => {
    expect(existsSync(join(CHECKOUT, schema))).toBe(true);
    if (!OPTIONAL.has(glob)) expect(globSync(glob, { cwd: CHECKOUT })).not.toEqual([]);
  });

  test.each(mapped)('%s accepts each file that it is for', (schema, glob) => {
    const ajv = new Ajv({ strict: false });
    const plugin = addFormats as unknown as { default?: (ajv: Ajv) => void } & ((ajv: Ajv) => void);
    (plugin.default ?? plugin)(ajv);
    const { $ref, ...own } = json(schema) as { $ref?: string };
    // As an editor finds it: by its path from the schema's own folder.
    const [target = schema, fragment = ''] = $ref === undefined ? [schema] : $ref.split('#');
    const file = $ref === undefined ? join(CHECKOUT, schema) : resolve(CHECKOUT, dirname(schema), target);
    const { $id, ...root } = JSON.parse(readFileSync(file, 'utf8')) as { $id: string };
    ajv.addSchema({ ...root, $id });
    const validate = ajv.compile($ref === undefined ? { $ref: $id } : { ...own, $ref: `${$id}#${fragment}` });
    for (const found of globSync(glob, { cwd: CHECKOUT })) {
      for (const document of parseAllDocuments(read(found))) {
        validate((document as { toJS(): unknown }).toJS());
        expect([found, validate.errors ?? []]).toEqual([found, []]);
      }
    }
    expect(validate(5)).toBe(false);
  });

  test('every table of the data that the schema knows is completed', () => {
    const { properties } = json('schemas/policy-data.json') as { properties: Record<string, object> };
    const globs = mapped.map(([, glob]) => glob);
    for (const table of Object.keys(properties)) expect(globs).toContain(`policies/${table}/data.yaml`);
  });

  test('Rego is held against the input schema', () => {
    const path = String(settings['opa.schema']).replace(/^\$\{workspaceFolder\}/, CHECKOUT);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ title: 'Input' });
    const { recommendations } = json('.vscode/extensions.json') as { recommendations: string[] };
    expect(recommendations).toEqual(expect.arrayContaining(['redhat.vscode-yaml', 'tsandall.opa']));
  });

  test('the example for pre-commit runs commands that are there, when a policy changes', () => {
    const { repos } = parse(read('docs/examples/pre-commit-config.yaml')) as {
      repos: { hooks: { entry: string; files: string }[] }[];
    };
    const hooks = repos.flatMap((repo) => repo.hooks);
    expect(hooks.map(({ entry }) => entry)).toEqual(['./aegis check', './aegis test']);
    for (const { files } of hooks) {
      expect(['policies/roles/data.yaml', 'gateway/main.ts'].map((file) => new RegExp(files).test(file))).toEqual([
        true,
        false,
      ]);
    }
  });
});

test('the guide has a row for each check, with its level, and no other', () => {
  const [, section = ''] = read('docs/policy-guide.md').split('## What check finds\n');
  const [table = ''] = section.split('\n## ');
  const rows = [...table.matchAll(/^\| ([a-z-]+) \| (error|warning) \| (.+) \|$/gm)].map(([, ...cells]) => cells);
  expect(rows).toEqual(Object.entries(CHECKS).map(([name, { level, title }]) => [name, level, title]));
});

test('each check that the traps name is one', () => {
  const [, section = ''] = read('docs/policy-guide.md').split('## Traps\n');
  const [traps = ''] = section.split('\n## ');
  const named = [...traps.matchAll(/\[([a-z-]+)\]/g)].map(([, name]) => name as string);
  expect(named.length).toBeGreaterThan(8);
  for (const name of named) expect(Object.keys(CHECKS)).toContain(name);
});

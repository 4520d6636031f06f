import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ADMIN_ROUTES } from '../../gateway/admin/admin-routes.ts';
import { ERRORS } from '../../gateway/errors.ts';
import { ROUTES } from '../../gateway/stages/routes.ts';
import input from '../../schemas/input.json' with { type: 'json' };

const rows = (file: string): string[][] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

describe('documents agree with the code', () => {
  test('docs/errors.md has a row for each error, with its status and types, and no other', () => {
    const documented = rows('docs/errors.md').map(([code, status, openai, anthropic]) => [
      code?.replaceAll('`', ''),
      Number(status),
      openai,
      anthropic,
    ]);
    const known = Object.entries(ERRORS).map(([code, row]) => [code, row.status, row.openai, row.anthropic]);
    expect(documented).toEqual(known);
  });

  test('docs/lifecycle.md names each route of the data plane, and no other', () => {
    const paths = rows('docs/lifecycle.md').flatMap(([paths]) =>
      [...(paths ?? '').matchAll(/`((?:GET|POST) [^`]+)`/g)].map(([, path]) => path),
    );
    expect(paths.sort()).toEqual(ROUTES.map(({ method, path }) => `${method} ${path}`).sort());
  });

  test('docs/operations.md has a row for each route of the control plane, and no other', () => {
    const documented = rows('docs/operations.md').flatMap(([route, operation]) => {
      const [, path] = /^`((?:GET|POST|DELETE) \/admin\/[^`]+)`$/.exec(route ?? '') ?? [];
      return path === undefined ? [] : [[path, operation?.replaceAll('`', '')]];
    });
    const known = ADMIN_ROUTES.map(({ method, path, endpoint }) => [`${method} ${path}`, endpoint ?? '–']);
    expect(documented.sort()).toEqual(known.sort());
  });

  test('each property of each schema has a description: the security team reads them', () => {
    const missing: string[] = [];
    const walk = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return;
      const { properties } = node as { properties?: Record<string, Record<string, unknown>> };
      for (const [name, property] of Object.entries(properties ?? {})) {
        if (
          !property.description &&
          !property.$ref &&
          !(property.anyOf as { $ref?: string }[] | undefined)?.some((part) => part.$ref)
        )
          missing.push(`${path}.${name}`);
      }
      for (const [key, child] of Object.entries(node)) walk(child, `${path}.${key}`);
    };
    for (const name of [
      'input',
      'decision',
      'config',
      'manifest',
      'rollout',
      'replay',
      'audit',
      'policy-data',
      'scenario',
      'admin-create-key',
      'admin-rotate-key',
      'admin-decision',
    ]) {
      walk(JSON.parse(readFileSync(`schemas/${name}.json`, 'utf8')), name);
    }
    expect(missing).toEqual([]);
  });

  test('every route’s endpoint is one that a policy can be shown', () => {
    for (const { endpoint } of ROUTES) expect(input.properties.request.properties.endpoint.enum).toContain(endpoint);
  });

  test('README shows commands that exist', () => {
    const readme = readFileSync('README.md', 'utf8');
    const program = readFileSync('gateway/cli/program.ts', 'utf8');
    for (const [, command] of readme.matchAll(/\.\/aegis ([a-z]+)/g)) expect(program).toContain(`${command}Command`);
  });
});

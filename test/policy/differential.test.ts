import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { buildBundle } from '../../gateway/policy/build.ts';
import { readBundle, SIGNATURES_FILE } from '../../gateway/policy/bundle.ts';
import { CHECKOUT, type Compiler, requireCompiler } from '../../gateway/policy/compiler.ts';
import { compareEngines, createInterpreter } from '../../gateway/policy/differential.ts';
import { createEvaluator } from '../../gateway/policy/evaluator.ts';
import { runOpa } from '../../gateway/policy/opa.ts';
import { adminInputs, demoInputs } from '../support/demo-inputs.ts';
import { testKey, withFolder, writeFiles } from '../support/policy-fixture.ts';

const POLICIES = join(CHECKOUT, 'policies');
let compiler: Compiler;
beforeAll(async () => {
  compiler = await requireCompiler();
}, 600_000);

describe('the default policies', () => {
  // The same on the inputs of the scenarios is a part of `aegis test`; none of them administers.
  test('decide in Node as in the interpreter, the control plane too', async () => {
    const bundle = await readBundle(await readFile(join(CHECKOUT, 'bundles', 'default.tar.gz')));
    const evaluator = await createEvaluator(bundle.wasm, bundle.data);
    expect(evaluator.entrypoints).toEqual(expect.arrayContaining(['aegis/decision', 'aegis/models', 'aegis/admin']));
    const inputs = Object.entries({ ...demoInputs(), ...adminInputs() }).map(([name, input]) => ({ name, input }));
    const compared = await compareEngines(inputs, evaluator, createInterpreter(POLICIES, compiler));
    expect(compared).toHaveLength(inputs.length);
    expect(compared.filter(({ disagreements }) => disagreements.length > 0)).toEqual([]);
  }, 120_000);

  test('compile to the same bytes twice, and to those of the committed bundle', async () => {
    const committed = await readBundle(await readFile(join(CHECKOUT, 'bundles', 'default.tar.gz')));
    const { sequence } = committed.manifest.metadata.aegis;
    const keyFile = join(CHECKOUT, 'bundles', 'keys', 'demo.key.pem');
    const signing = { keyFile, algorithm: 'RS256', claims: { keyid: 'demo', scope: 'aegis', iss: 'aegis demo' } };
    const [one, two] = [
      await buildBundle({ policies: POLICIES, sequence, compiler, signing }),
      await buildBundle({ policies: POLICIES, sequence, compiler, signing }),
    ];
    expect(one.packed.equals(two.packed)).toBe(true);
    for (const [name, bytes] of one.bundle.files) {
      if (name === SIGNATURES_FILE) continue;
      expect([name, committed.files.get(name)?.equals(bytes)]).toEqual([name, true]);
    }
    expect(committed.digest).toBe(one.bundle.digest);
  }, 60_000);

  test('carry a signature that the compiler verifies, and refuses with another key', async () => {
    await withFolder(async (folder) => {
      const demo = join(CHECKOUT, 'bundles', 'keys', 'demo.pub.pem');
      await writeFiles(folder, { 'other.pub.pem': testKey().publicPem });
      const args = (key: string, scope: string): string[] => [
        ...[
          'build',
          '-b',
          join(CHECKOUT, 'bundles', 'default.tar.gz'),
          '-o',
          'again.tar.gz',
          '--verification-key',
          key,
        ],
        ...['--verification-key-id', 'demo', '--scope', scope, '--signing-key', demo.replace('.pub.', '.key.')],
      ];
      expect(await runOpa(compiler, args(demo, 'aegis'), folder)).toMatchObject({ code: 0 });
      expect((await runOpa(compiler, args(demo, 'other'), folder)).code).not.toBe(0);
      expect((await runOpa(compiler, args('other.pub.pem', 'aegis'), folder)).code).not.toBe(0);
    });
  });
});

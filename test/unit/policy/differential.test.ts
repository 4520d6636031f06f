import { beforeAll, describe, expect, test } from '@jest/globals';
import { buildBundle } from '../../../gateway/policy/build.ts';
import { type Compiler, requireCompiler } from '../../../gateway/policy/compiler.ts';
import {
  type Compared,
  compareEngines,
  createInterpreter,
  type Verdict,
} from '../../../gateway/policy/differential.ts';
import { createEvaluator } from '../../../gateway/policy/evaluator.ts';
import { input, resultOf, withFolder, writeFiles } from '../../support/policy-fixture.ts';

let compiler: Compiler;
beforeAll(async () => {
  compiler = await requireCompiler();
}, 600_000);

const named = (name: string, ip: string) => ({ name, input: input({ request: { source_ip: ip } }) });

const compare = (expression: string, inputs = [named('one', '10.0.0.1')]): Promise<Compared[]> =>
  withFolder(async (policies) => {
    await writeFiles(policies, resultOf(expression));
    const { bundle } = await buildBundle({ policies, sequence: 1, compiler });
    const evaluator = await createEvaluator(bundle.wasm, bundle.data);
    return compareEngines(inputs, evaluator, createInterpreter(policies, compiler));
  });

describe('the engines', () => {
  test('agree on what both can do, and on having no value', async () => {
    const compared = await compare('{"ip": input.request.source_ip, "n": 1.5, "none": null, "list": ["é", {}]}', [
      named('one', '10.0.0.1'),
      named('two', ''),
    ]);
    expect(compared.map(({ base, disagreements }) => [base.name, disagreements])).toEqual([
      ['one', []],
      ['two', []],
    ]);
    const undecided = await compare('1 if input.request.source_ip == "nobody"');
    expect(undecided[0]?.disagreements).toEqual([]);
  });

  test('are told apart by an address that only one of them knows to be inside of a network', async () => {
    const inside = '{"inside": net.cidr_contains("10.0.0.0/8", input.request.source_ip)}';
    const [plain, mapped] = await compare(inside, [named('plain', '10.1.2.3'), named('mapped', '::ffff:10.1.2.3')]);
    expect(plain?.disagreements).toEqual([]);
    expect(mapped?.disagreements).toEqual([
      { entrypoint: 'aegis/decision', wasm: { value: { inside: false } }, interpreted: { value: { inside: true } } },
    ]);
  });

  test('are told apart by the order of a set that got into a decision', async () => {
    const [one] = await compare('{"rules": {"delta", "alpha", "charlie", "bravo", "echo"}}');
    const [disagreement] = one?.disagreements ?? [];
    expect(disagreement?.interpreted).toEqual({ value: { rules: ['alpha', 'bravo', 'charlie', 'delta', 'echo'] } });
    const wasm = disagreement?.wasm as { value: { rules: string[] } };
    expect([...wasm.value.rules].sort()).toEqual(['alpha', 'bravo', 'charlie', 'delta', 'echo']);
  });

  test('disagree when one of them has no value', async () => {
    const evaluator = {
      entrypoints: ['aegis/decision'],
      evaluate: (): unknown => {
        throw new Error('the policy ran out of fuel');
      },
    };
    const interpreted: Verdict = { value: 1 };
    const compared = await compareEngines([named('one', '')], evaluator, async () => [interpreted]);
    expect(compared[0]?.disagreements).toEqual([
      { entrypoint: 'aegis/decision', wasm: { error: 'the policy ran out of fuel' }, interpreted },
    ]);
    expect(await compareEngines([named('one', '')], evaluator, async () => [{ error: 'undefined' }])).toMatchObject([
      { disagreements: [] },
    ]);
  });
});

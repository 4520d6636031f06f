import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Bundle } from '../../../gateway/policy/bundle.ts';
import { createEvaluator } from '../../../gateway/policy/evaluator.ts';
import { compile, input, resultOf } from '../../support/policy-fixture.ts';

// The capabilities of the real policies forbid the functions that these fixtures need; fixtures have none.
const RUNAWAYS: Record<string, string> = {
  'a nested comprehension over a thousand thousand thousands':
    'count([1 | some x in numbers.range(1, 1000); some y in numbers.range(1, 1000); some z in numbers.range(1, 1000); x + y + z == input.request.id])',
  'a join of a list with itself that allocates little':
    'count([1 | some a in input.request.tools; some b in input.request.tools; some c in input.request.tools; some d in input.request.tools; some e in input.request.tools; a == "never"; b == c; d == e])',
  'replace with an empty search string': 'replace(input.request.id, input.request.model, "x")',
};

describe('an evaluator', () => {
  const bundles = new Map<string, Bundle>();
  beforeAll(async () => {
    for (const [name, expression] of Object.entries(RUNAWAYS)) {
      // Only an input with the model "" runs away, so that the same instance can show that it is still right.
      const extra = `work := ${expression} if input.request.model == ""\n\nwork := 7 if input.request.model != ""`;
      bundles.set(name, await compile(resultOf('{"work": work}', extra)));
    }
  });

  const tools = Array.from({ length: 100 }, (_, n) => `tool-${n}`);
  const runaway = input({ request: { model: '', tools } });
  const harmless = input({ request: { model: 'small', tools } });

  test.each(Object.keys(RUNAWAYS))('stops %s, and answers the next request right', async (name) => {
    const bundle = bundles.get(name) as Bundle;
    const evaluator = await createEvaluator(bundle.wasm, bundle.data);
    expect(evaluator.evaluate(harmless, 'aegis/decision')).toEqual({ work: 7 });
    for (let round = 0; round < 3; round++) {
      expect(() => evaluator.evaluate(runaway, 'aegis/decision')).toThrow(/out of fuel|opa_malloc/);
      // At once, before a new instance could be made between two turns of the event loop …
      expect(evaluator.evaluate(harmless, 'aegis/decision')).toEqual({ work: 7 });
      expect(() => evaluator.evaluate(runaway, 'aegis/decision')).toThrow();
      // … and after it.
      await new Promise((resolve) => setImmediate(resolve));
      expect(evaluator.evaluate(harmless, 'aegis/decision')).toEqual({ work: 7 });
    }
  });

  test('stays right and bounded over hundreds of failures', async () => {
    const bundle = bundles.get('replace with an empty search string') as Bundle;
    const evaluator = await createEvaluator(bundle.wasm, bundle.data, { fuel: 200_000 });
    for (let round = 0; round < 300; round++) {
      expect(() => evaluator.evaluate(runaway, 'aegis/decision')).toThrow(/out of fuel/);
      if (round % 10 === 0) expect(evaluator.evaluate(harmless, 'aegis/decision')).toEqual({ work: 7 });
    }
  });

  test('caps the memory of a policy that builds a large value', async () => {
    const doubling = Array.from({ length: 24 }, (_, n) => `s${n + 1} := concat("", [s${n}, s${n}])`).join('\n');
    const bundle = await compile(resultOf('{"size": count(s24)}', `s0 := input.request.id\n${doubling}`));
    const evaluator = await createEvaluator(bundle.wasm, bundle.data);
    const before = process.memoryUsage().external;
    expect(() => evaluator.evaluate(input({ request: { id: 'x'.repeat(64) } }), 'aegis/decision')).toThrow(
      /failed|fuel/,
    );
    expect(process.memoryUsage().external - before).toBeLessThan(64 * 1024 * 1024);
    expect(evaluator.evaluate(input({ request: { id: '' } }), 'aegis/decision')).toEqual({ size: 0 });
  });

  test('refuses a result over 64 KB before it is parsed', async () => {
    const bundle = await compile(resultOf('{"list": [input.request.tools, input.request.tools]}'));
    const evaluator = await createEvaluator(bundle.wasm, bundle.data);
    const long = (count: number): object =>
      input({ request: { tools: Array.from({ length: count }, () => 'x'.repeat(100)) } });
    expect(evaluator.evaluate(long(100), 'aegis/decision')).toBeDefined();
    expect(() => evaluator.evaluate(long(400), 'aegis/decision')).toThrow(/larger than 65536 bytes/);
    expect(evaluator.evaluate(long(100), 'aegis/decision')).toBeDefined();
  });

  test('says that an undefined result is undefined', async () => {
    const bundle = await compile(resultOf('input.request.nothing'));
    const evaluator = await createEvaluator(bundle.wasm, bundle.data);
    expect(() => evaluator.evaluate(input(), 'aegis/decision')).toThrow('the result is undefined');
  });

  test('survives a lone surrogate and a number that is too large for the module', async () => {
    const bundle = await compile(resultOf('{"id": input.request.id}'));
    const evaluator = await createEvaluator(bundle.wasm, bundle.data);
    expect(() => evaluator.evaluate(input({ request: { id: '\ud800' } }), 'aegis/decision')).toThrow();
    expect(evaluator.evaluate(input({ request: { id: 'é😀' } }), 'aegis/decision')).toEqual({ id: 'é😀' });
  });

  test.each([
    'sprintf("%v", [input.request.id])',
    'time.now_ns()',
    'crypto.sha256(input.request.id)',
    'http.send({"method": "get", "url": input.request.id})',
  ])('refuses a module that calls %s', async (expression) => {
    const bundle = await compile(resultOf(expression));
    await expect(createEvaluator(bundle.wasm, bundle.data)).rejects.toThrow(/functions that are not in the module/);
  });
});

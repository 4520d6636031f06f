import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Bundle } from '../../../gateway/policy/bundle.ts';
import { createEvaluator, DEFAULT_FUEL } from '../../../gateway/policy/evaluator.ts';
import { FUEL_EXPORT, MAX_FUEL, meterModule } from '../../../gateway/policy/meter.ts';
import { compile, input, resultOf } from '../../support/policy-fixture.ts';

type Exports = Record<string, CallableFunction & { value: number }>;
interface Wasm {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: Exports };
  Memory: new (limits: { initial: number }) => object;
  validate(bytes: Uint8Array): boolean;
}
const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;

const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);
const section = (id: number, ...body: number[]): number[] => [id, ...leb(body.length), ...body];
const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
const body = (...code: number[]): number[] => [...leb(code.length), ...code];

/** A module that imports env.memory and exports `run`, an (i32) → i32 function of the given locals and code. */
const moduleOf = (code: number[], { globals = [] as number[], before = [] as number[] } = {}): Uint8Array =>
  Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 1, 0x7f, 1, 0x7f),
    ...section(2, 1, ...name('env'), ...name('memory'), 2, 0, 3),
    ...section(3, 1, 0),
    ...before,
    ...globals,
    ...section(7, 1, ...name('run'), 0, 0),
    ...section(10, 1, ...body(...code)),
  ]);

/** run(n): counts n down to 0 in a loop and gives 0. */
const COUNTDOWN = [0, 0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 0, 0x0b];
/** run(n): n === 0 ? 0 : run(n - 1). */
const RECURSION = [0, 0x20, 0, 0x45, 0x04, 0x7f, 0x41, 0, 0x05, 0x20, 0, 0x41, 1, 0x6b, 0x10, 0, 0x0b, 0x0b];

const instantiate = (bytes: Uint8Array): Exports =>
  new wasm.Instance(new wasm.Module(bytes), { env: { memory: new wasm.Memory({ initial: 3 }) } }).exports;

describe('meterModule', () => {
  test('charges one unit for each turn of a loop and traps when none is left', () => {
    const { bytes, minPages } = meterModule(moduleOf(COUNTDOWN));
    const { run, [FUEL_EXPORT]: fuel } = instantiate(bytes);
    expect(minPages).toBe(3);
    expect(fuel?.value).toBe(MAX_FUEL);
    fuel!.value = 1000;
    expect(run!(400)).toBe(0);
    expect(fuel?.value).toBe(600);
    expect(run!(600)).toBe(0);
    expect(() => run!(1)).toThrow(/unreachable/);
    fuel!.value = 10;
    expect(run!(5)).toBe(0);
  });

  test('charges each call of a recursive function', () => {
    const { run, [FUEL_EXPORT]: fuel } = instantiate(meterModule(moduleOf(RECURSION)).bytes);
    fuel!.value = 100;
    expect(run!(50)).toBe(0);
    expect(fuel?.value).toBe(49);
    expect(() => run!(50)).toThrow(/unreachable/);
  });

  test('puts its global behind those of the module, whose indices stay', () => {
    // global 0 = mutable i32 7; run(n) = global.get 0
    const globals = section(6, 1, 0x7f, 1, 0x41, 7, 0x0b);
    const { run, [FUEL_EXPORT]: fuel } = instantiate(meterModule(moduleOf([0, 0x23, 0, 0x0b], { globals })).bytes);
    expect(run!(1)).toBe(7);
    expect(fuel?.value).toBe(MAX_FUEL);
  });

  test.each([
    ['bytes that are no module', Uint8Array.from([1, 2, 3, 4])],
    ['a newer version of the format', Uint8Array.from([0x00, 0x61, 0x73, 0x6d, 2, 0, 0, 0])],
    ['a module that is cut off', moduleOf(COUNTDOWN).subarray(0, -3)],
    ['an unknown instruction', moduleOf([0, 0xfd, 0x0c, 0x0b])],
    ['an exception instruction', moduleOf([0, 0x06, 0x40, 0x0b, 0x0b])],
    ['memory.copy, whose cost is an operand', moduleOf([0, 0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 10, 0, 0, 0x20, 0, 0x0b])],
    ['memory.fill, whose cost is an operand', moduleOf([0, 0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 11, 0, 0x20, 0, 0x0b])],
    ['a memory of its own', moduleOf(COUNTDOWN, { before: section(5, 1, 0, 1) })],
    ['a number of more than 32 bits', moduleOf([0, 0x20, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x0b])],
  ])('refuses %s', (_, bytes) => {
    expect(() => meterModule(bytes)).toThrow(/^wasm: /);
  });

  test('refuses a module that already exports its name, and one that imports more than the SDK gives', () => {
    const metered = meterModule(moduleOf(COUNTDOWN)).bytes;
    expect(() => meterModule(metered)).toThrow(/already exports/);
    const printing = Buffer.from(moduleOf(COUNTDOWN));
    printing.write('memorx', printing.indexOf('memory'));
    expect(() => meterModule(printing)).toThrow(/import env.memorx is not expected/);
  });
});

describe('a metered policy', () => {
  let counting: Bundle;
  beforeAll(async () => {
    counting = await compile(
      resultOf('{"n": count([1 | some x in input.request.tools; some y in input.request.tools; x != y])}'),
    );
  });

  test('is still a valid module and decides as before', async () => {
    expect(wasm.validate(meterModule(counting.wasm).bytes)).toBe(true);
    const evaluator = await createEvaluator(counting.wasm, counting.data);
    expect(evaluator.evaluate(input({ request: { tools: ['a', 'b', 'c'] } }), 'aegis/decision')).toEqual({ n: 6 });
  });

  test('uses the same fuel for the same input, again, in another instance, and after other inputs', async () => {
    const [one, other] = [
      await createEvaluator(counting.wasm, counting.data),
      await createEvaluator(counting.wasm, counting.data),
    ];
    const few = input({ request: { tools: ['a', 'b'] } });
    const many = input({ request: { tools: Array.from({ length: 100 }, (_, n) => `tool-${n}`) } });
    one.evaluate(few, 'aegis/decision');
    const used = one.fuelUsed;
    expect(used).toBeGreaterThan(100);
    for (let round = 0; round < 20; round++) one.evaluate(many, 'aegis/decision');
    expect(one.fuelUsed).toBeGreaterThan(used * 10);
    one.evaluate(few, 'aegis/decision');
    expect(one.fuelUsed).toBe(used);
    other.evaluate(few, 'aegis/decision');
    expect(other.fuelUsed).toBe(used);
  });

  test('fails on exactly the same fuel, one unit below what it needs', async () => {
    const evaluator = await createEvaluator(counting.wasm, counting.data);
    const some = input({ request: { tools: ['a', 'b', 'c', 'd'] } });
    evaluator.evaluate(some, 'aegis/decision');
    const fuel = evaluator.fuelUsed;
    const enough = await createEvaluator(counting.wasm, counting.data, { fuel });
    const short = await createEvaluator(counting.wasm, counting.data, { fuel: fuel - 1 });
    expect(enough.evaluate(some, 'aegis/decision')).toEqual({ n: 12 });
    expect(() => short.evaluate(some, 'aegis/decision')).toThrow(/out of fuel/);
    expect(fuel).toBeLessThan(DEFAULT_FUEL / 100);
  });
});

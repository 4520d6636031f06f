import { isDeepStrictEqual } from 'node:util';
import { MAX_FUEL } from './meter.ts';
import { proveLayout } from './value-proof.ts';
import { createValueReader } from './value-reader.ts';
import { createValueWriter } from './value-writer.ts';
import type { Exports, Global, Memory } from './web-assembly.ts';

/** Largest result of an evaluation, bytes of JSON. */
export const MAX_RESULT_BYTES = 64 * 1024;
/** Results of a module that are read in two ways: of each input of its warm-up, both entrypoints. */
const PROVED_RESULTS = 200;

/** One metered evaluation: what the module says of the input, a set of at most one result. Throws what the module throws. */
export type Run = (input: object, entrypoint: string) => unknown;

/** An instance of a policy module with its data, as the SDK loads it. */
export interface LoadedPolicy {
  entrypoints: Record<string, number>;
  mem: Memory;
  dataAddr: number;
  /** Where the data end in the memory: an evaluation may use all behind it. */
  dataHeapPtr: number;
  wasmInstance: { exports: Exports };
}

/** The part of the module's interface that an evaluation takes. */
interface EvalExports {
  opa_heap_ptr_set(at: number): void;
  opa_malloc(bytes: number): number;
  opa_json_parse(at: number, length: number): number;
  opa_json_dump(at: number): number;
  opa_eval_ctx_new(): number;
  opa_eval_ctx_set_input(context: number, at: number): void;
  opa_eval_ctx_set_data(context: number, at: number): void;
  opa_eval_ctx_set_entrypoint(context: number, entrypoint: number): void;
  opa_eval_ctx_get_result(context: number): number;
  eval(context: number): number;
}

/**
 * An evaluation by the interface of openpolicyagent.org/docs/wasm, but without JSON: the input is written into the module's
 * memory as values, and the result read from there as it lies.
 */
export const createRun = (sdk: LoadedPolicy, fuel: Global, budget: number, proof: Proof): Run => {
  const exports = sdk.wasmInstance.exports as unknown as EvalExports;
  let memory = Buffer.from(sdk.mem.buffer);
  // A memory that grew has another buffer.
  const current = (): Buffer => {
    if (memory.buffer !== sdk.mem.buffer) memory = Buffer.from(sdk.mem.buffer);
    return memory;
  };
  const dump = (at: number): string => {
    const text = exports.opa_json_dump(at);
    return current().toString('utf8', text, memory.indexOf(0, text));
  };
  const read = createValueReader({
    memory: sdk.mem,
    constantsEnd: sdk.dataHeapPtr,
    maxBytes: MAX_RESULT_BYTES,
  });
  const writer = createValueWriter({ memory: sdk.mem, start: sdk.dataHeapPtr });
  const write = (value: object): number => {
    const at = writer.write(value);
    exports.opa_heap_ptr_set(writer.end);
    return at;
  };
  const parse = (json: string): number => {
    const length = Buffer.byteLength(json);
    const at = exports.opa_malloc(length);
    current().write(json, at);
    return exports.opa_json_parse(at, length);
  };
  exports.opa_heap_ptr_set(writer.end);
  // What loading the data has freed must not be given out again, since what lies among the data is read only once.
  for (const size of [4, 8, 16, 64, 128, 4096]) {
    if (exports.opa_malloc(size) < writer.end) throw new Error('policy.wasm: it allocates among the data');
  }
  proveLayout({ memory: sdk.mem, write, parse, dump });
  return (input, entrypoint) => {
    fuel.value = budget;
    const written = write(input);
    const context = exports.opa_eval_ctx_new();
    exports.opa_eval_ctx_set_input(context, written);
    exports.opa_eval_ctx_set_data(context, sdk.dataAddr);
    exports.opa_eval_ctx_set_entrypoint(context, sdk.entrypoints[entrypoint] as number);
    exports.eval(context);
    const at = exports.opa_eval_ctx_get_result(context);
    const result = read(at);
    if (proof.left > 0) prove(result, at, dump, fuel, proof);
    return result;
  };
};

/** How many more results are compared with the module's own JSON of them. */
export interface Proof {
  left: number;
}

/** For the instances of one module together. */
export const newProof = (): Proof => ({ left: PROVED_RESULTS });

/**
 * Where a value lies in the memory is the compiler's business, so a module must show first that its results are read as it
 * writes them: the first ones, which are those of its warm-up. Else its bundle is refused.
 */
const prove = (result: unknown, at: number, dump: (at: number) => string, fuel: Global, proof: Proof): void => {
  const used = fuel.value;
  fuel.value = MAX_FUEL;
  if (!isDeepStrictEqual(result, JSON.parse(dump(at)))) throw new Error('results are not laid out as expected');
  fuel.value = used;
  proof.left--;
};

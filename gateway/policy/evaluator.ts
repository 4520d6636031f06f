import * as opaWasm from '@open-policy-agent/opa-wasm';
import { FUEL_EXPORT, MAX_FUEL, meterModule } from './meter.ts';
import { createRun, type LoadedPolicy, newProof, type Proof, type Run } from './metered-run.ts';
import { compileModule, type Global, type MemoryLimits, type Module } from './web-assembly.ts';

/**
 * Fuel of one evaluation: at most 60 ms of CPU in the dearest loops that were found (multiplying numbers of 900 digits), and
 * 1,000 times what the default policies use. A policy that needs more has a loop that it should not have.
 */
export const DEFAULT_FUEL = 20_000_000;

/** What an evaluation may take beyond the module and its data: 256 pages of 64 KB are 16 MB. */
const EVALUATION_PAGES = 256;
const PAGE = 64 * 1024;
const SPARE_PAGES = 16;
/** Data in the policy's memory takes up to this many times its JSON. */
const DATA_FACTOR = 15;

/** Runs a policy's entrypoints. Bounded in steps and memory, and still right after any failure. */
export interface Evaluator {
  /** Names of the module's entrypoints. */
  readonly entrypoints: readonly string[];
  /** Fuel that the last evaluation used: the same for the same input. */
  readonly fuelUsed: number;
  /** The one result, or an Error that says why there is none. `input` must be an object. */
  evaluate(input: object, entrypoint: string): unknown;
}

export interface EvaluatorOptions {
  /** Steps of one evaluation, see meterModule. */
  fuel?: number;
}

/** The parts of the SDK's policy that its types leave out. */
interface SdkPolicy extends LoadedPolicy {
  minorVersion: number;
  setData(data: object): void;
}

type Call = (...args: number[]) => number;

interface Sdk {
  loadPolicySync(module: Module, memory: MemoryLimits): SdkPolicy;
}

// loadPolicySync is exported at run time, on the default export, and missing in the types.
const sdkEntry = (opaWasm as unknown as { default: Sdk }).default;

/**
 * Compiles a policy module with a meter and loads it with its data. Refuses with an Error a module that cannot be
 * metered, and one that calls functions outside of it: those differ between OPA and the SDK, or are missing.
 */
export const createEvaluator = async (
  wasm: Uint8Array,
  data: object,
  options: EvaluatorOptions = {},
): Promise<Evaluator> => {
  const metered = meterModule(wasm);
  const module = await compileModule(metered.bytes);
  const memory = memoryFor(metered.minPages, data);
  const budget = options.fuel ?? DEFAULT_FUEL;
  const proof = newProof();
  let policy: MeteredPolicy | undefined = loadMetered(module, memory, data, budget, proof);
  const entrypoints = Object.keys(policy.sdk.entrypoints);
  let used = 0;
  const renew = (): MeteredPolicy => {
    policy ??= loadMetered(module, memory, data, budget, proof);
    return policy;
  };
  return {
    entrypoints,
    get fuelUsed() {
      return used;
    },
    evaluate: (input, entrypoint) => {
      const { run, fuel } = renew();
      try {
        const result = run(input, entrypoint);
        used = budget - fuel.value;
        return onlyResult(result);
      } catch (error) {
        used = budget - Math.max(fuel.value, 0);
        // A trap or a throw from inside does not unwind the module's own stack: this instance is not used again. The
        // next one is made between two requests, or by the next request if that comes first.
        policy = undefined;
        setImmediate(renew).unref();
        throw evaluationError(error, fuel.value < 0);
      }
    },
  };
};

interface MeteredPolicy {
  sdk: SdkPolicy;
  fuel: Global;
  run: Run;
}

/** `initial`: what module and data need, else setData grows page by page, a hundred times slower on large data. */
const memoryFor = (minPages: number, data: object): MemoryLimits => {
  const dataBytes = Buffer.byteLength(JSON.stringify(data));
  const initial = minPages + Math.ceil((dataBytes * DATA_FACTOR) / PAGE) + SPARE_PAGES;
  return { initial, maximum: initial + EVALUATION_PAGES };
};

const loadMetered = (
  module: Module,
  memory: MemoryLimits,
  data: object,
  budget: number,
  proof: Proof,
): MeteredPolicy => {
  const sdk = sdkEntry.loadPolicySync(module, { ...memory });
  const { exports } = sdk.wasmInstance;
  if (!(sdk.minorVersion >= 2)) throw new Error('policy.wasm: its interface is older than ABI 1.2');
  const fuel = exports[FUEL_EXPORT] as Global;
  fuel.value = MAX_FUEL;
  refuseForeignBuiltins(sdk);
  sdk.setData(data);
  return { sdk, fuel, run: createRun(sdk, fuel, budget, proof) };
};

/** The module lists the functions it expects of its host. A missing one would fail only when it is called. */
const refuseForeignBuiltins = (sdk: SdkPolicy): void => {
  const { exports } = sdk.wasmInstance;
  const at = (exports.opa_json_dump as Call)((exports.builtins as Call)());
  const memory = Buffer.from(sdk.mem.buffer);
  const names = Object.keys(JSON.parse(memory.toString('utf8', at, memory.indexOf(0, at))) as object);
  if (names.length > 0) throw new Error(`policy.wasm: calls functions that are not in the module: ${names.join(', ')}`);
};

/** What the SDK returns: `[{result}]`, or `[]` when the entrypoint is undefined. */
const onlyResult = (results: unknown): unknown => {
  if (!Array.isArray(results) || results.length === 0) throw new Error('the result is undefined');
  if (results.length !== 1) throw new Error('more than one result');
  return (results[0] as { result?: unknown } | null)?.result;
};

/** The SDK and the engine throw strings, objects, traps and range errors; whoever reads the log gets one sentence. */
const evaluationError = (error: unknown, outOfFuel: boolean): Error => {
  if (outOfFuel) return new Error('the policy ran out of fuel: it loops too long', { cause: error });
  const message = typeof error === 'string' ? error : (error as { message?: unknown } | null)?.message;
  return new Error(`the evaluation failed: ${typeof message === 'string' ? message.slice(0, 512) : 'unknown'}`, {
    cause: error,
  });
};

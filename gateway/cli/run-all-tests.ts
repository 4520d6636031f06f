import { join } from 'node:path';
import { buildBundle } from '../policy/build.ts';
import type { Bundle } from '../policy/bundle.ts';
import type { Compiler } from '../policy/compiler.ts';
import { createInterpreter, type Interpret } from '../policy/differential.ts';
import { createPolicy } from '../policy/engine.ts';
import { createEvaluator } from '../policy/evaluator.ts';
import type { NamedInput } from '../policy/field-drop.ts';
import type { Policy } from '../policy/policy.ts';
import type { TestResult, TestSuite } from '../policy/test-result.ts';
import { warmupInputs } from '../policy/warmup.ts';
import { differentialSuite } from './differential-suite.ts';
import { fieldDropSuite } from './field-drop-suite.ts';
import { ruleSuites } from './rule-suites.ts';
import { readScenarios, type ScenarioFile } from './scenario-file.ts';
import { createScenarioPolicies, type PolicyFor } from './scenario-policies.ts';
import { runScenarios, type ScenarioRun } from './scenario-suite.ts';
import { type ScenarioUpdate, updateScenarios } from './update-scenarios.ts';

/** How the tests of policies are run. */
export interface TestOptions {
  /** Share of the rules' lines that unit tests must run, per cent; 80 without it. */
  coverage?: number;
  /** Runs only unit tests and scenarios whose name matches, and the other tests on those scenarios' inputs. Not a global one. */
  only?: RegExp;
  /** The bundle of these policies where it is built already: it need not be signed. */
  bundle?: Bundle;
  /** Rewrites what failing scenarios expect to what happened. */
  update?: boolean;
  /** What the bundle is compared with; without it the compiler's interpreter over the sources. */
  interpret?: Interpret;
}

/** What all tests of a folder of policies gave. */
export interface AllTests {
  /** Whether every test passed. */
  ok: boolean;
  suites: TestSuite[];
  /** Share of the rules' lines that unit tests ran, per cent; undefined when it was not measured. */
  coverage: number | undefined;
  /** The scenarios that were rewritten. */
  updates: ScenarioUpdate[];
}

/**
 * Runs everything that proves a folder of policies: the unit tests on both engines, the scenarios on the built bundle, the
 * field-drop and the differential test on the scenarios' inputs and those of the warm-up. Throws an Error with the compiler's
 * words when the policies do not compile, and one when `only` matches nothing.
 */
export const runAllTests = async (folder: string, compiler: Compiler, options: TestOptions = {}): Promise<AllTests> => {
  const [rules, { suites: others, updates }] = await Promise.all([
    ruleSuites(folder, compiler, options),
    bundleSuites(folder, compiler, options),
  ]);
  const suites = [...rules.suites, ...others];
  if (options.only !== undefined && suites.every(({ results }) => results.length === 0)) {
    throw new Error(`no unit test and no scenario of ${folder} has a name that matches ${options.only.source}`);
  }
  return {
    ok: suites.every(({ results }) => results.every(({ ok }) => ok)),
    suites,
    coverage: rules.coverage,
    updates,
  };
};

interface BundleSuites {
  suites: TestSuite[];
  updates: ScenarioUpdate[];
}

/** The tests that need the bundle that serves. */
const bundleSuites = async (folder: string, compiler: Compiler, options: TestOptions): Promise<BundleSuites> => {
  const bundle = options.bundle ?? (await buildBundle({ policies: folder, sequence: 1, compiler })).bundle;
  let policy: Policy;
  try {
    policy = await createPolicy(bundle);
  } catch (error) {
    const detail = (error as Error).message;
    const result: TestResult = { suite: 'scenarios', name: 'the built bundle can serve', ok: false, detail, ms: 0 };
    return { suites: [{ name: 'scenarios', results: [result] }], updates: [] };
  }
  const { runs, updates } = await scenariosOf(folder, createScenarioPolicies(bundle, policy), options);
  const results = runs.map(({ result }) => result);
  if (results.length === 0 && options.only === undefined) {
    const detail = `none in ${join(folder, 'scenarios')}`;
    results.push({ suite: 'scenarios', name: 'there are scenarios', ok: false, detail, ms: 0 });
  }
  const inputs = [...inputsOf(runs), ...(options.only === undefined ? synthesised(bundle) : [])];
  const evaluator = await createEvaluator(bundle.wasm, bundle.data);
  const [differential, fieldDrop] = await Promise.all([
    differentialSuite(inputs, evaluator, options.interpret ?? createInterpreter(folder, compiler)),
    (async () => fieldDropSuite(inputs, policy, folder))(), // while the interpreter works
  ]);
  return { suites: [{ name: 'scenarios', results }, fieldDrop, differential], updates };
};

const scenariosOf = async (
  folder: string,
  policyFor: PolicyFor,
  { only, update }: TestOptions,
): Promise<{ runs: ScenarioRun[]; updates: ScenarioUpdate[] }> => {
  const run = async (): Promise<{ files: ScenarioFile[]; runs: ScenarioRun[] }> => {
    const files = await readScenarios(folder);
    const entries = files.flatMap((file) => file.entries).filter(({ name }) => only?.test(name) ?? true);
    return { files, runs: await runScenarios(entries, policyFor, folder) };
  };
  const { files, runs } = await run();
  const updates = update ? await updateScenarios(files, runs) : [];
  // What was written is what is proved.
  return { runs: updates.length === 0 ? runs : (await run()).runs, updates };
};

const inputsOf = (runs: readonly ScenarioRun[]): NamedInput[] =>
  runs.flatMap(({ entry: { name, file, line }, outcome, policy }) =>
    outcome?.input === undefined || policy === undefined ? [] : [{ name, file, line, policy, input: outcome.input }],
  );

/** What the scenarios leave out of organisations, roles and models. */
const synthesised = ({ data }: Bundle): NamedInput[] =>
  warmupInputs(data).map((made, index) => {
    // What asks no model names none.
    const isModelless = made.request.endpoint === 'models' || made.request.endpoint === 'feedback';
    const input = isModelless ? { ...made, request: { ...made.request, model: '' } } : made;
    const { caller, request, purpose } = input;
    const who = `${caller.roles.join(', ')} of ${caller.org}${caller.team === '' ? '' : `/${caller.team}`}`;
    return { name: `made up ${index + 1}: ${who}, ${request.endpoint} ${request.model}, ${purpose.workflow}`, input };
  });

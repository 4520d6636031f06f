import { buildBundle } from '../policy/build.ts';
import type { Bundle } from '../policy/bundle.ts';
import type { Compiler } from '../policy/compiler.ts';
import { createPolicy } from '../policy/engine.ts';
import type { TestSuite } from '../policy/test-result.ts';
import { ruleSuites } from './rule-suites.ts';
import { scenarioSuite } from './scenario-suite.ts';

/** How the tests of policies are run. */
export interface TestOptions {
  /** Share of the rules' lines that unit tests must run, per cent; 80 without it. */
  coverage?: number;
  /** Runs only unit tests and scenarios whose name matches; coverage is then not asked for. */
  only?: RegExp;
  /** The bundle of these policies where it is built already: it need not be signed. */
  bundle?: Bundle;
}

/** What all tests of a folder of policies gave. */
export interface AllTests {
  /** Whether every test passed. */
  ok: boolean;
  suites: TestSuite[];
  /** Share of the rules' lines that unit tests ran, per cent; undefined when it was not measured. */
  coverage: number | undefined;
}

/**
 * Runs everything that proves a folder of policies: the unit tests on both engines and the scenarios on the built bundle.
 * Throws an Error with the compiler's words when the policies do not compile.
 */
export const runAllTests = async (folder: string, compiler: Compiler, options: TestOptions = {}): Promise<AllTests> => {
  const [rules, scenarios] = await Promise.all([
    ruleSuites(folder, compiler, options),
    bundleSuites(folder, compiler, options),
  ]);
  const suites = [...rules.suites, ...scenarios];
  return { ok: suites.every(({ results }) => results.every(({ ok }) => ok)), suites, coverage: rules.coverage };
};

const bundleSuites = async (folder: string, compiler: Compiler, { bundle }: TestOptions): Promise<TestSuite[]> => {
  const built = bundle ?? (await buildBundle({ policies: folder, sequence: 1, compiler })).bundle;
  const policy = await createPolicy(built);
  return [await scenarioSuite(folder, policy)];
};

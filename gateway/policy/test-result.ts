/** What `aegis test` runs, in the order it is shown. */
export type SuiteName = 'rego' | 'wasm' | 'scenarios' | 'field-drop' | 'differential';

/** One test of a rule or scenario. */
export interface TestResult {
  suite: SuiteName;
  name: string;
  ok: boolean;
  /** What people need to mend it, over as many lines as it takes; empty when it passed. */
  detail: string;
  ms: number;
  /** Where the test is, from the parent of the policies' folder, such as `policies/scenarios/access.yaml`. */
  file?: string;
  /** From 1. */
  line?: number;
}

/** The results of one kind of tests. */
export interface TestSuite {
  name: SuiteName;
  results: TestResult[];
  /** Why it was not run; absent when it was. */
  skipped?: string;
  /** What the counts do not say, such as `100 % of the lines`. */
  note?: string;
}

import { basename } from 'node:path';
import type { Policy } from '../policy/policy.ts';
import type { TestResult } from '../policy/test-result.ts';
import { placesOfRules } from './rule-places.ts';
import { runScenario, type ScenarioResult } from './scenario.ts';
import type { Difference } from './scenario-fields.ts';
import type { ScenarioEntry } from './scenario-file.ts';
import type { Outcome } from './scenario-outcome.ts';
import type { PolicyFor } from './scenario-policies.ts';
import { sideBySide } from './side-by-side.ts';

/** A scenario that was run. */
export interface ScenarioRun {
  readonly entry: ScenarioEntry;
  readonly result: TestResult;
  /** What it ran on; undefined when it is no scenario, or its data are none. */
  readonly policy: Policy | undefined;
  /** Undefined when there was no decision, or it is no scenario. */
  readonly outcome: Outcome | undefined;
  readonly differences: readonly Difference[];
}

/** Runs the scenarios of a folder of policies, each on its policy, built. */
export const runScenarios = async (
  entries: readonly ScenarioEntry[],
  policyFor: PolicyFor,
  policies: string,
): Promise<ScenarioRun[]> => {
  const runs: ScenarioRun[] = [];
  for (const entry of entries) runs.push(await runEntry(entry, policyFor, basename(policies)));
  return runs;
};

const runEntry = async (entry: ScenarioEntry, policyFor: PolicyFor, folder: string): Promise<ScenarioRun> => {
  const start = performance.now();
  const { file, line, name, scenario, problems } = entry;
  let policy: Policy | undefined;
  const made = (detail: string, outcome?: Outcome, differences: readonly Difference[] = []): ScenarioRun => ({
    entry,
    policy,
    result: { suite: 'scenarios', name, ok: detail === '', detail, ms: performance.now() - start, file, line },
    outcome,
    differences,
  });
  if (scenario === undefined) {
    return made(problems.map(({ line: at, column, why }) => `${file}:${at}:${column} ${why}`).join('\n'));
  }
  let ran: ScenarioResult;
  try {
    policy = await policyFor(scenario);
    ran = runScenario(scenario, policy);
  } catch (error) {
    return made(`${file}:${line} ${sentenceOf(error)}`);
  }
  const { differences, outcome } = ran;
  if (differences.length === 0) return made('', outcome);
  return made([`${file}:${line}`, ...reportOf(ran, policy, folder)].join('\n'), outcome, differences);
};

/** What people need to see why a scenario failed: values side by side, and the rules that decided. */
const reportOf = ({ differences, outcome }: ScenarioResult, policy: Policy, folder: string): string[] => {
  const table = policy.manifest.metadata.aegis.rules;
  const pairs = differences.map(({ field, expected, actual }) => ({
    name: field,
    expected,
    actual: shown(field, actual),
  }));
  const refusing = outcome.refusals.flatMap(({ rule }) => (rule === undefined ? [] : [rule]));
  const others = (outcome.decision?.rules ?? []).filter((rule) => !refusing.includes(rule));
  const list = (title: string, rules: readonly string[]): string[] =>
    rules.length === 0 ? [] : [title, ...placesOfRules(rules, table, folder).map((line) => `  ${line}`)];
  return [
    ...sideBySide(pairs, ['expected', 'actual']),
    ...outcome.refusals
      .filter(({ rule }) => rule === undefined)
      .map(({ code, message }) => `refused by the gateway, not by a rule: ${code}, ${message}`),
    ...list('refused by', [...new Set(refusing)]),
    ...list(refusing.length > 0 ? 'other rules that fired' : 'rules that fired', others),
    ...(outcome.decision !== undefined && refusing.length + others.length === 0 ? ['no rule fired'] : []),
  ];
};

const shown = (field: Difference['field'], actual: unknown): unknown =>
  (field === 'leaves' || field === 'stays') && actual === null ? 'nothing is sent' : actual;

const sentenceOf = (error: unknown): string => {
  const { message, cause } = error as { message?: string; cause?: { message?: string } };
  return `${message ?? String(error)}${cause?.message ? `: ${cause.message}` : ''}`;
};

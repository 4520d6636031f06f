import type { Policy } from '../policy/policy.ts';
import type { Scenario } from '../types.gen.ts';
import { compareOutcome, type Difference } from './scenario-fields.ts';
import { type Outcome, outcomeOf } from './scenario-outcome.ts';

/** What became of a scenario; without differences it passed. */
export interface ScenarioResult {
  differences: Difference[];
  outcome: Outcome;
}

/**
 * Runs a scenario and compares what becomes of it with what it expects. Throws GatewayError when there is no decision, and
 * Error when it expects nothing.
 */
export const runScenario = (scenario: Scenario, policy: Policy): ScenarioResult => {
  const { expect } = scenario;
  if (expect === undefined) throw new Error('it expects nothing: run aegis test --update to write what happens');
  const outcome = outcomeOf(scenario, policy);
  return { differences: compareOutcome(expect, outcome), outcome };
};

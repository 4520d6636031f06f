import type { AuditOutcome } from '../types.gen.ts';
import type { BulkTarget, Value } from './bulk.ts';
import { EXPERIMENT_REQUEST_COLUMNS, type ExperimentRequestTable } from './schema.ts';
import { storable } from './storable.ts';

/** Where requests of experiments go. */
export const EXPERIMENT_REQUESTS: BulkTarget = {
  table: 'experiment_requests',
  columns: EXPERIMENT_REQUEST_COLUMNS,
  key: ['request_id'],
};

export const experimentRequestValues = (row: ExperimentRequestTable): Value[] =>
  EXPERIMENT_REQUEST_COLUMNS.map((column) => row[column]);

/** The row of an outcome that counts for an experiment; undefined for others, and for what was mirrored. */
export const experimentRowOf = (outcome: AuditOutcome): ExperimentRequestTable | undefined => {
  const { experiment } = outcome;
  if (experiment === undefined || outcome.id === null || outcome.mirror_of !== undefined) return undefined;
  return {
    request_id: outcome.request_id,
    decision_id: outcome.id,
    org: storable(outcome.caller?.org),
    experiment: experiment.id,
    definition: experiment.definition,
    arm: experiment.arm,
    unit: storable(experiment.unit),
    time_ms: Date.parse(outcome.time),
    outcome: outcome.outcome,
    answered: outcome.outcome === 'ok' ? 1 : 0,
    failed: isFailure(outcome) ? 1 : 0,
    refused: outcome.refused ? 1 : 0,
    duration_ms: Math.round(outcome.duration_ms),
    cost_micro_usd: outcome.cost.micro_usd,
  };
};

/** A refusal by the provider is the arm's fault too: its model may not take what the other takes. A filter's is no failure. */
const isFailure = ({ outcome, attempts, refused }: AuditOutcome): boolean =>
  outcome === 'failed' ||
  outcome === 'incomplete' ||
  outcome === 'unknown' ||
  (outcome === 'rejected' && attempts.length > 0 && !refused);

import type { AuditIntent, AuditOutcome } from '../types.gen.ts';
import type { BulkTarget, Value } from './bulk.ts';
import { DECISION_COLUMNS, type DecisionTable } from './schema.ts';
import { storable } from './storable.ts';

/** Where decisions go: an outcome that comes batches after its intent joins it. */
export const DECISIONS: BulkTarget = {
  table: 'decisions',
  columns: DECISION_COLUMNS,
  key: ['id'],
  nullable: ['intent', 'outcome'],
};

export const decisionValues = (row: DecisionTable): Value[] => DECISION_COLUMNS.map((column) => row[column]);

/**
 * Adds a record to the rows of a batch, by decision, and gives how many characters it is. Records from before `sinceMs`, and
 * outcomes of requests that failed before a decision, are 0 characters and no row. RangeError for a time that is none.
 */
export const addDecision = (
  rows: Map<string, DecisionTable>,
  record: AuditIntent | AuditOutcome,
  sinceMs: number,
): number => {
  const { id } = record;
  if (id === null) return 0;
  const timeMs = Date.parse(record.time);
  if (Number.isNaN(timeMs)) throw new RangeError(`${record.kind} ${id}: ${record.time} is not a time`);
  if (timeMs < sinceMs) return 0;
  const text = JSON.stringify(record);
  const row = rows.get(id);
  if (row === undefined) rows.set(id, rowOf(record, id, timeMs, text));
  else row[record.kind] ??= text;
  return text.length;
};

const rowOf = (record: AuditIntent | AuditOutcome, id: string, timeMs: number, text: string): DecisionTable => ({
  id,
  time_ms: timeMs,
  org: storable(orgOf(record)),
  revision: record.bundle?.revision ?? '',
  digest: record.bundle?.digest ?? '',
  intent: record.kind === 'intent' ? text : null,
  outcome: record.kind === 'outcome' ? text : null,
});

const orgOf = (record: AuditIntent | AuditOutcome): string | undefined => {
  if (record.kind === 'outcome') return record.caller?.org;
  const { caller } = record.input as { readonly caller?: { readonly org?: string } };
  return caller?.org;
};

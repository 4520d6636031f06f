import { hash } from 'node:crypto';
import { answeredBy } from '../answered-by.ts';
import type { AuditOutcome } from '../types.gen.ts';
import { latencyBucket } from './latency.ts';
import type { COUNT_COLUMNS, LabelTable, UsageTable } from './schema.ts';
import { storable } from './storable.ts';

/** A row of the ledger, and the members of its set of labels. */
export interface UsageEntry {
  readonly row: UsageTable;
  readonly labels: readonly LabelTable[];
}

/** The ledger's view of one outcome record. The same record gives the same row, whenever it is read. */
export const usageEntryOf = (outcome: AuditOutcome): UsageEntry => {
  const { caller, purpose, usage, cost } = outcome;
  const timeMs = Date.parse(outcome.time);
  if (Number.isNaN(timeMs)) throw new RangeError(`outcome ${outcome.request_id}: ${outcome.time} is not a time`);
  const labels = labelsOf(purpose?.tags ?? {}, caller?.groups ?? []);
  const answered = answeredBy(outcome.attempts);
  const row: UsageTable = {
    seq: 0, // Given when it is written.
    request_id: outcome.request_id,
    decision_id: outcome.id,
    time_ms: timeMs,
    day: dayOf(timeMs),
    org: storable(caller?.org),
    team: storable(caller?.team),
    user_id: storable(caller?.user),
    key_id: storable(caller?.id),
    use_case: storable(purpose?.use_case),
    workflow: storable(purpose?.workflow),
    model: storable(outcome.model),
    upstream: outcome.upstream ?? '',
    labels: labels[0]?.set_id ?? '',
    session: storable(purpose?.session),
    endpoint: outcome.endpoint ?? '',
    tier: outcome.tier ?? '',
    outcome: outcome.outcome,
    status: outcome.status,
    error: outcome.error,
    input_tokens: amount(usage?.input ?? 0, outcome),
    cache_read_tokens: amount(usage?.cache_read ?? 0, outcome),
    cache_write_tokens: amount(usage?.cache_write ?? 0, outcome),
    cache_write_1h_tokens: amount(usage?.cache_write_1h ?? 0, outcome),
    output_tokens: amount(usage?.output ?? 0, outcome),
    reasoning_tokens: amount(usage?.reasoning ?? 0, outcome),
    usage_source: usage?.source ?? null,
    cost_micro_usd: amount(cost.micro_usd, outcome),
    price_version: cost.price_version,
    revision: outcome.bundle?.revision ?? null,
    duration_ms: Math.round(outcome.duration_ms),
    first_byte_ms: answered === undefined ? null : Math.round(answered.ms),
    attempts: outcome.attempts.length,
  };
  return { row, labels };
};

const DAY_MS = 86_400_000;
let lastDay = { number: Number.NaN, text: '' };

/** The UTC day; neighbouring records are of the same one mostly. */
const dayOf = (timeMs: number): string => {
  const number = Math.floor(timeMs / DAY_MS);
  if (number !== lastDay.number) lastDay = { number, text: new Date(timeMs).toISOString().slice(0, 10) };
  return lastDay.text;
};

/** The counters that one row adds to a roll-up. Durations are counted of answered requests only. */
export const countsOf = (
  row: Pick<UsageTable, 'outcome' | 'usage_source' | 'duration_ms'>,
): Record<CountName, number> & { latency: number | undefined } => {
  const { outcome } = row;
  return {
    requests: 1,
    ok: outcome === 'ok' ? 1 : 0,
    denied: outcome === 'denied' ? 1 : 0,
    limited: outcome === 'limited' ? 1 : 0,
    rejected: outcome === 'rejected' ? 1 : 0,
    aborted: outcome === 'aborted' ? 1 : 0,
    errors: outcome === 'failed' || outcome === 'incomplete' || outcome === 'unknown' ? 1 : 0,
    estimated: row.usage_source === 'estimated' ? 1 : 0,
    latency: outcome === 'ok' ? latencyBucket(row.duration_ms) : undefined,
  };
};

type CountName = (typeof COUNT_COLUMNS)[number];

/** A ledger never holds a negative, a fraction or what a double cannot hold. */
const amount = (value: number, outcome: AuditOutcome): number => {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`outcome ${outcome.request_id}: ${String(value)} is not an amount`);
};

/** The set's id is a digest of its content, so that loading it again, anywhere, gives the same id. */
const labelsOf = (tags: Readonly<Record<string, string>>, groups: readonly string[]): LabelTable[] => {
  const members = [
    ...Object.entries(tags).map(([name, value]) => ({
      kind: 'tag' as const,
      name: storable(name),
      value: storable(value),
    })),
    ...[...new Set(groups.map(storable))].map((name) => ({ kind: 'group' as const, name, value: '' })),
  ];
  if (members.length === 0) return [];
  members.sort((a, b) => order(a.kind, b.kind) || order(a.name, b.name));
  const set_id = hash('sha256', JSON.stringify(members.map(({ kind, name, value }) => [kind, name, value]))).slice(
    0,
    24,
  );
  return members.map((member) => ({ set_id, ...member }));
};

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

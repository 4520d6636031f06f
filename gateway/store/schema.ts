import type { LATENCY_COLUMNS } from './latency.ts';

/** Tables of the store, as Kysely sees them. Money is integer micro-USD, times are milliseconds, text is never null. */
export interface Schema {
  migrations: { name: string; applied_ms: number };
  facts: FactTable;
  keys: KeyTable;
  usage: UsageTable;
  usage_daily: RollupTable;
  usage_user_daily: RollupTable;
  usage_user_monthly: RollupTable;
  labels: LabelTable;
}

/** Single values: the pepper's fingerprint, the revision of the key table, the ledger's place in the audit log. */
export interface FactTable {
  name: string;
  value: string;
}

/** API keys. The secret is not here: `digest` is its HMAC. */
export interface KeyTable {
  id: string;
  digest: string;
  /** First characters of the secret, so that a person finds the key again. */
  prefix: string;
  org: string;
  team: string;
  user_id: string;
  /** JSON arrays of strings. */
  roles: string;
  groups: string;
  workflows: string;
  created_ms: number;
  expires_ms: number | null;
  revoked_ms: number | null;
  /** The key that this one replaces. */
  rotated_from: string | null;
}

/** What reports can group by. `labels` is the id of a set of tags and groups, '' for none. */
interface DimensionColumns {
  org: string;
  team: string;
  user_id: string;
  key_id: string;
  use_case: string;
  workflow: string;
  model: string;
  upstream: string;
  labels: string;
}

/** Tokens in the disjoint classes of schemas/audit.json, and what they cost. */
interface AmountColumns {
  input_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  cache_write_1h_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  cost_micro_usd: number;
}

/** One request: the projection of one outcome record. */
export interface UsageTable extends DimensionColumns, AmountColumns {
  request_id: string;
  decision_id: string | null;
  time_ms: number;
  /** UTC, YYYY-MM-DD. */
  day: string;
  session: string;
  endpoint: string;
  tier: string;
  outcome: string;
  status: number;
  error: string | null;
  /** provider, estimated, or null when nothing was used. */
  usage_source: string | null;
  price_version: string | null;
  revision: string | null;
  duration_ms: number;
  /** Until the head of the answer that was relayed; null without one. */
  first_byte_ms: number | null;
  attempts: number;
}

/** Requests by how they ended. */
interface CountColumns {
  requests: number;
  ok: number;
  denied: number;
  limited: number;
  rejected: number;
  aborted: number;
  /** failed, incomplete and unknown. */
  errors: number;
  /** Requests whose tokens the gateway had to estimate. */
  estimated: number;
}

/**
 * Sums of usage. `period` is a UTC day, in usage_user_monthly a month. usage_daily leaves user and key out ('') and stays
 * small however many users there are.
 */
export interface RollupTable
  extends DimensionColumns,
    AmountColumns,
    CountColumns,
    Record<(typeof LATENCY_COLUMNS)[number], number> {
  period: string;
}

/** Members of a set of labels: a tag with its value, or a group with the value ''. */
export interface LabelTable {
  set_id: string;
  kind: 'tag' | 'group';
  name: string;
  value: string;
}

export const DIMENSION_COLUMNS = [
  'org',
  'team',
  'user_id',
  'key_id',
  'use_case',
  'workflow',
  'model',
  'upstream',
  'labels',
] as const satisfies readonly (keyof DimensionColumns)[];

export const AMOUNT_COLUMNS = [
  'input_tokens',
  'cache_read_tokens',
  'cache_write_tokens',
  'cache_write_1h_tokens',
  'output_tokens',
  'reasoning_tokens',
  'cost_micro_usd',
] as const satisfies readonly (keyof AmountColumns)[];

export const COUNT_COLUMNS = [
  'requests',
  'ok',
  'denied',
  'limited',
  'rejected',
  'aborted',
  'errors',
  'estimated',
] as const satisfies readonly (keyof CountColumns)[];

export const LABEL_COLUMNS = ['set_id', 'kind', 'name', 'value'] as const satisfies readonly (keyof LabelTable)[];

export const USAGE_COLUMNS = [
  'request_id',
  'decision_id',
  'time_ms',
  'day',
  ...DIMENSION_COLUMNS,
  'session',
  'endpoint',
  'tier',
  'outcome',
  'status',
  'error',
  ...AMOUNT_COLUMNS,
  'usage_source',
  'price_version',
  'revision',
  'duration_ms',
  'first_byte_ms',
  'attempts',
] as const satisfies readonly (keyof UsageTable)[];

import type { LATENCY_COLUMNS } from './latency.ts';

/** Tables of the store, as Kysely sees them. Money is integer micro-USD, times are milliseconds, text is never null. */
export interface Schema {
  migrations: { name: string; applied_ms: number };
  facts: FactTable;
  keys: KeyTable;
  usage: UsageTable;
  usage_org_daily: RollupTable<'org' | 'model' | 'upstream' | 'endpoint'>;
  usage_team_daily: RollupTable<TeamColumn>;
  usage_team_monthly: RollupTable<TeamColumn>;
  usage_label_daily: RollupTable<TeamColumn | 'labels'>;
  usage_label_monthly: RollupTable<TeamColumn | 'labels'>;
  usage_user_daily: RollupTable<UserColumn>;
  usage_user_monthly: RollupTable<UserColumn | 'model' | 'upstream'>;
  usage_full_daily: RollupTable<keyof DimensionColumns>;
  usage_full_monthly: RollupTable<keyof DimensionColumns>;
  labels: LabelTable;
  ledger: LedgerTable;
  ledger_logs: LedgerLogTable;
  alerts: AlertTable;
  rollouts: RolloutTable;
  replicas: ReplicaTable;
  decisions: DecisionTable;
  experiment_requests: ExperimentRequestTable;
  feedback: FeedbackTable;
  experiment_stops: ExperimentStopTable;
}

type TeamColumn = 'org' | 'team' | 'use_case' | 'workflow' | 'model' | 'upstream' | 'endpoint';
type UserColumn = 'org' | 'team' | 'user_id' | 'key_id';

/** Single values: the pepper's fingerprint, the revision of the key table. */
export interface FactTable {
  name: string;
  value: string;
}

/** Alerts for the operator's webhook: each once, whichever gateway saw it. */
export interface AlertTable {
  id: string;
  /** What makes it the same alert. */
  dedupe: string;
  /** The JSON that is posted. */
  body: string;
  /** due, delivered, or failed: given up. */
  state: string;
  attempts: number;
  due_ms: number;
  created_ms: number;
}

/** What has become of each rollout: RolloutState of policy/rollout-state.ts. */
export interface RolloutTable {
  key: string;
  step: number;
  since_ms: number;
  /** JSON of the readings of stable before `full`; null without. */
  baseline: string | null;
  /** JSON of why it was taken back; null while it was not. */
  rolled_back: string | null;
  /** When a gateway was last known to be in it. */
  used_ms: number;
}

/** The last that each gateway said of itself. */
export interface ReplicaTable {
  replica: string;
  updated_ms: number;
  /** JSON: ReplicaReport of policy/rollout-state.ts. */
  report: string;
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
  endpoint: string;
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
  /** In the order in which rows were committed; with gaps. */
  seq: number;
  request_id: string;
  decision_id: string | null;
  time_ms: number;
  /** UTC, YYYY-MM-DD. */
  day: string;
  session: string;
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

/** Sums of usage by some dimensions; null stands for 0. `period` is a UTC day, in the monthly tables a month. */
export type RollupTable<Column extends keyof DimensionColumns> = Pick<DimensionColumns, Column> &
  AmountColumns &
  CountColumns &
  Record<(typeof LATENCY_COLUMNS)[number], number> & { period: string };

/** The one row of the ledger's bookkeeping. Who writes to the ledger updates it first: one writer at a time. */
export interface LedgerTable {
  id: number;
  /** The last number given to a row of `usage`. */
  last_seq: number;
  /** The roll-ups hold the rows up to this one; those after it are added when a report is made. */
  folded_seq: number;
}

/** How far each audit log is loaded. */
export interface LedgerLogTable {
  /** The log's id; '' for the one log of an embedded store. */
  log: string;
  /** JSON, as the reader of the log gave it; '' before its first record. */
  position: string;
  /** For how many days decisions of the log are kept in the store, whoever loads it; 0: they are not. */
  decisions_days: number;
}

/** Decisions with the records that the audit log has of them, of all gateways that keep them here. */
export interface DecisionTable {
  id: string;
  /** Of the intent; where there is none, of the outcome. */
  time_ms: number;
  /** '' when nobody was known. */
  org: string;
  /** Of the bundle that decided; '' where none did. */
  revision: string;
  digest: string;
  /** The records as JSON. */
  intent: string | null;
  outcome: string | null;
}

/** One request that counts for an experiment. Flags are 0 or 1. */
export interface ExperimentRequestTable {
  request_id: string;
  decision_id: string;
  org: string;
  experiment: string;
  /** Digest of what the experiment was. */
  definition: string;
  arm: string;
  /** What was drawn: a user, a session, an organisation or a request, under a name that no other has. */
  unit: string;
  time_ms: number;
  outcome: string;
  /** A whole answer went out. */
  answered: number;
  failed: number;
  refused: number;
  duration_ms: number;
  cost_micro_usd: number;
}

/** What one caller said last of one answer. */
export interface FeedbackTable {
  decision_id: string;
  /** `user <name>` or `key <id>`, within the organisation. */
  source: string;
  org: string;
  time_ms: number;
  /** 0 to 1; null where none was given. */
  score: number | null;
  label: string;
  /** With personal data masked. */
  comment: string;
}

/** Experiments that a guard has stopped. */
export interface ExperimentStopTable {
  experiment: string;
  definition: string;
  time_ms: number;
  arm: string;
  guard: string;
  /** A sentence with the figures. */
  reason: string;
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
  'endpoint',
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
  'seq',
  'request_id',
  'decision_id',
  'time_ms',
  'day',
  ...DIMENSION_COLUMNS,
  'session',
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

export const EXPERIMENT_REQUEST_COLUMNS = [
  'request_id',
  'decision_id',
  'org',
  'experiment',
  'definition',
  'arm',
  'unit',
  'time_ms',
  'outcome',
  'answered',
  'failed',
  'refused',
  'duration_ms',
  'cost_micro_usd',
] as const satisfies readonly (keyof ExperimentRequestTable)[];

export const DECISION_COLUMNS = [
  'id',
  'time_ms',
  'org',
  'revision',
  'digest',
  'intent',
  'outcome',
] as const satisfies readonly (keyof DecisionTable)[];

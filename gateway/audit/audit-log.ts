import type { AuditIntent, AuditRecord, ContentRef } from '../types.gen.ts';

/** Prompt or answer to be kept beside a record, encrypted, until its retention is over. */
export interface AuditContent {
  readonly chunks: readonly Uint8Array[];
  readonly retentionDays: number;
}

/**
 * The audit log. `append` resolves when the record (and its content) is durable; many callers share one fsync. It
 * rejects with GatewayError `audit_unavailable` when that takes longer than a second or the disk refuses.
 */
export interface AuditLog {
  /** The record's `content` field is filled in by the log; callers leave it null. */
  append(record: AuditRecord, content?: AuditContent): Promise<ContentRef>;
  /** Whether the log takes records: false from the first failure to the next success. */
  readonly healthy: boolean;
  close(): Promise<void>;
}

/** A log that was just opened, with what its last writer left. */
export interface RecoveredAuditLog extends AuditLog {
  /** Intents of earlier runs that never got an outcome, oldest first. The gateway owes each of them one. */
  readonly openIntents: readonly AuditIntent[];
  /** The public key of the log's checkpoints, in the signed-note form `name+hash+key`. */
  readonly verifierKey: string;
}

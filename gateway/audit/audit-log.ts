import type { AuditIntent, AuditRecord, ContentFrame, ContentRef } from '../types.gen.ts';

/** Prompt or answer to be kept beside a record, encrypted, until its retention is over. */
export interface AuditContent {
  readonly chunks: readonly Uint8Array[];
  readonly retentionDays: number;
  /** What comes before `chunks` and was written already, of the same retention. */
  readonly draft?: ContentDraft;
}

/**
 * A long content on its way to the disk before its record is: nobody has to hold all of it. Nothing refers to the
 * pieces until a record is appended with the draft, so what a crash or `discard` leaves of them can be read by nobody
 * who asks the log, and is gone with the retention.
 */
export interface ContentDraft {
  readonly retentionDays: number;
  /** Bytes of content given to `write` so far. */
  readonly bytes: number;
  /**
   * Encrypts a piece, whose chunks may be let go of at once, and queues it for the disk; nothing is synced for its sake.
   * Resolves when the disk has taken it: wait for that before the next piece, so that a slow disk slows the writer.
   * Rejects with GatewayError `audit_unavailable`; no record can be appended with the draft then.
   */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Resolves with where the pieces lie when all are durable. The log asks, when a record is appended with the draft. */
  settle(): Promise<readonly ContentFrame[]>;
  /** No record will be appended with it. */
  discard(): void;
}

/**
 * The audit log. `append` resolves when the record (and its content) is durable; many callers share one fsync. It
 * rejects with GatewayError `audit_unavailable` when that takes longer than a second or the disk refuses. A record with
 * a draft waits for the draft's pieces first, alone, as long as the disk goes on taking pieces.
 */
export interface AuditLog {
  /** The record's `content` field is filled in by the log; callers leave it null. */
  append(record: AuditRecord, content?: AuditContent): Promise<ContentRef>;
  /** Begins a content that is written in pieces. Costs nothing until the first. */
  openContent(retentionDays: number): ContentDraft;
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

/** Where a record is wrong, and why. */
export interface BadRecord {
  readonly segment: number;
  /** Byte offset of its frame in the segment. */
  readonly offset: number;
  /** How many records come before it in the log. */
  readonly index: number;
  /** The decision id that the damaged bytes still show, if any. */
  readonly id: string | null;
  readonly reason: string;
}

/** The log was changed, cut or damaged at `record`. */
export class AuditCorruptionError extends Error {
  readonly code = 'audit_corrupt';
  readonly record: BadRecord;

  constructor(record: BadRecord) {
    super(`the audit log is damaged: ${describeBadRecord(record)}`);
    this.name = 'AuditCorruptionError';
    this.record = record;
  }
}

/** One line about a bad record. */
export const describeBadRecord = (record: BadRecord): string => {
  const id = record.id === null ? '' : `, id ${record.id}`;
  return `record ${record.index} (segment ${record.segment}, offset ${record.offset}${id}): ${record.reason}`;
};

/** A position that this log does not have: it is of another log, or of bytes that were never acknowledged. Read anew. */
export class StalePositionError extends Error {
  readonly code = 'audit_position_stale';

  constructor(segment: number, offset: number) {
    super(`the audit log has no record at segment ${segment}, offset ${offset} that continues where reading stopped`);
    this.name = 'StalePositionError';
  }
}

import type { AuditRecord } from '../types.gen.ts';
import { AuditCorruptionError } from './corruption.ts';
import { auditLayout } from './layout.ts';
import { type AuditFrame, readFrames } from './read-frames.ts';

/**
 * A place between two records. `segment` and `offset` find it; `index` (records before it) and `chain` (hash of the
 * record before it, hex) prove that reading on continues the same log. Keep it as JSON, whole.
 */
export interface AuditPosition {
  readonly segment: number;
  readonly offset: number;
  readonly index: number;
  readonly chain: string;
}

/** Where to start reading. Without `index` and `chain` the segment is walked from its start, which is right but slower. */
export type AuditStart = Pick<AuditPosition, 'segment' | 'offset'> & Partial<AuditPosition>;

/** A record, where it is, and where the next one will be: keep `next` to read on later. */
export interface AuditEntry {
  readonly position: AuditPosition;
  readonly next: AuditPosition;
  readonly record: AuditRecord;
}

/**
 * Streams the records of the log in `home`, checking every frame and the chain, and ends at the last whole record. Safe
 * beside a running gateway and in any thread or process: to follow a live log call it again with `from` set to the last
 * entry's `next`. Without `from` it starts at the first record. Throws AuditCorruptionError at the first bad record, and
 * StalePositionError when `from` is not a place of this log (then start anew).
 */
export async function* readAudit(
  home: string,
  options: ReadAuditOptions = {},
): AsyncGenerator<AuditEntry, void, undefined> {
  const { from, kinds } = options;
  const skip = kinds && ((payload: Buffer) => isOtherKind(payload, kinds));
  for await (const frame of readFrames(auditLayout(home), { from, reuse: true, skip })) {
    const record = parseRecord(frame);
    if (kinds?.includes(record.kind) !== false) yield { position: frame.position, next: frame.next, record };
  }
}

type Kind = AuditRecord['kind'];

/** What readAudit may be told. */
export interface ReadAuditOptions {
  readonly from?: AuditStart | undefined;
  /** Only these records. The others are checked all the same but mostly not parsed, which is most of what they cost. */
  readonly kinds?: readonly Kind[] | undefined;
}

const KINDS: readonly Kind[] = ['intent', 'outcome', 'suppressed', 'event'];
const BEGINNINGS: readonly (readonly [Kind, string])[] = KINDS.map((kind) => [kind, `{"kind":"${kind}",`]);
const BEGINNING_CHARS = Math.max(...BEGINNINGS.map(([, beginning]) => beginning.length));

/** Whether a record is of none of the kinds, by its first bytes: our writer puts it there. False when only parsing can tell. */
const isOtherKind = (payload: Buffer, kinds: readonly Kind[]): boolean => {
  const start = payload.toString('latin1', 0, BEGINNING_CHARS);
  const kind = BEGINNINGS.find(([, beginning]) => start.startsWith(beginning))?.[0];
  return kind !== undefined && !kinds.includes(kind);
};

/** The record of a frame. Throws AuditCorruptionError when the payload is no record: then a writer was at fault. */
export const parseRecord = (frame: AuditFrame): AuditRecord => {
  try {
    const record = JSON.parse(frame.payload.toString('utf8')) as AuditRecord;
    if (KINDS.includes(record.kind)) return record;
  } catch {
    // Falls through: both are the same fault.
  }
  const { segment, offset, index } = frame.position;
  throw new AuditCorruptionError({ segment, offset, index, id: null, reason: 'the payload is not an audit record' });
};

import type { AuditEvent } from '../types.gen.ts';

/** Name of the event that is the first record of every segment. */
export const SEGMENT_OPENED = 'segment_opened';

/** Where a record's frame lies. */
export interface RecordPlace {
  readonly segment: number;
  readonly offset: number;
}

/**
 * The first record of a segment. It says everything that is needed to go on from here without what came before: the
 * number of earlier records, their last chain hash, and the intents that still wait for an outcome.
 */
export interface SegmentOpening {
  readonly format: 1;
  /** Random id of the log, 32 hex digits, the same in each of its segments. */
  readonly log: string;
  readonly segment: number;
  readonly index: number;
  /** Chain hash of the record before, hex; zeros in the first segment. */
  readonly previous: string;
  readonly open: readonly (RecordPlace & { readonly id: string })[];
}

/** The record of a segment's opening. */
export const openingRecord = (opening: SegmentOpening, time: string): AuditEvent => ({
  kind: 'event',
  time,
  event: SEGMENT_OPENED,
  detail: opening,
});

/** Reads a segment's first payload; undefined when it is no opening. */
export const parseOpening = (payload: Buffer): SegmentOpening | undefined => {
  const record = parseJson(payload) as Partial<AuditEvent> | undefined;
  if (record?.kind !== 'event' || record.event !== SEGMENT_OPENED) return undefined;
  const detail = record.detail as Partial<SegmentOpening> | undefined;
  const whole =
    detail?.format === 1 &&
    /^[0-9a-f]{32}$/.test(String(detail.log)) &&
    /^[0-9a-f]{64}$/.test(String(detail.previous)) &&
    Number.isSafeInteger(detail.segment) &&
    Number.isSafeInteger(detail.index) &&
    Array.isArray(detail.open);
  return whole ? (detail as SegmentOpening) : undefined;
};

const parseJson = (payload: Buffer): unknown => {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
};

import { readFile } from 'node:fs/promises';
import type { AuditIntent, AuditRecord } from '../types.gen.ts';
import { ContentReader } from './content.ts';
import { framesOf } from './content-frames.ts';
import { AuditCorruptionError } from './corruption.ts';
import { isUnwrittenTail } from './frame.ts';
import { type AuditLayout, listSegments, parseContentName, segmentPath } from './layout.ts';
import type { AuditPosition } from './read.ts';
import { CUT_SHORT, readFrames, readPayloadAt, type TornTail } from './read-frames.ts';
import { parseOpening, type RecordPlace } from './segment-opening.ts';

/** The most records of one write, so the most whose content a crash can have lost. */
export const MAX_GROUP_RECORDS = 512;

/** What a log was like when its last writer left it. */
export interface Recovered {
  readonly log: string;
  /** Where the next record goes. */
  readonly end: AuditPosition;
  /** Intents without an outcome, by decision id. */
  readonly open: Map<string, RecordPlace>;
  /** Bytes behind the last whole record, to be cut. */
  readonly torn: TornTail | undefined;
  /** Segments that hold no whole record, to be removed. */
  readonly empty: readonly number[];
  /** Contents of the last records that the crash did not leave whole; their records were never acknowledged. */
  readonly lost: readonly LostContent[];
}

/**
 * Reads the last segment of the chain, which is all that is needed to go on, and checks it. Undefined when there is no
 * record yet. Throws AuditCorruptionError.
 */
export const recoverChain = async (layout: AuditLayout, now: number): Promise<Recovered | undefined> => {
  const empty: number[] = [];
  for (const segment of (await listSegments(layout)).reverse()) {
    const recovered = await recoverSegment(layout, segment, empty, now);
    if (recovered) return recovered;
    empty.push(segment);
  }
  if (empty.length > 1) {
    const reason = 'the first records are missing';
    throw new AuditCorruptionError({ segment: 1, offset: 0, index: 0, id: null, reason });
  }
  return undefined;
};

const recoverSegment = async (
  layout: AuditLayout,
  segment: number,
  empty: readonly number[],
  now: number,
): Promise<Recovered | undefined> => {
  let torn: TornTail | undefined;
  let log: string | undefined;
  let end: AuditPosition | undefined;
  const open = new Map<string, RecordPlace>();
  const last: Buffer[] = [];
  const from = await startOf(layout, segment);
  if (!from) return undefined;
  const onTorn = (tail: TornTail) => {
    torn = tail;
  };
  for await (const frame of readFrames(layout, { from, onTorn })) {
    if (frame.position.segment !== segment) break;
    const { offset, index } = frame.position;
    if (log === undefined) {
      const opening = parseOpening(frame.payload);
      const bad = (reason: string) => new AuditCorruptionError({ segment, offset, index, id: null, reason });
      if (!opening) throw bad('the segment does not start with segment_opened');
      if (opening.segment !== segment) throw bad('the segment has the place of another');
      log = opening.log;
      for (const { id, ...place } of opening.open) open.set(id, place);
    }
    const mark = markOf(frame.payload);
    if (mark?.kind === 'intent') open.set(mark.id, { segment, offset });
    if (mark?.kind === 'outcome') open.delete(mark.id);
    last.push(frame.payload);
    if (last.length >= 2 * MAX_GROUP_RECORDS) last.splice(0, MAX_GROUP_RECORDS);
    end = frame.next;
  }
  if (log === undefined || end === undefined) return undefined;
  if (torn?.segment !== segment) torn = undefined;
  return { log, end, open, torn, empty, lost: await findLostContent(layout, last, now) };
};

/** The start of a segment; undefined when a crash left not even its first record. */
const startOf = async (layout: AuditLayout, segment: number): Promise<RecordPlace | undefined> => {
  const start = { segment, offset: 0 };
  if (segment === 1) return start;
  try {
    await readPayloadAt(layout, start);
    return start;
  } catch (error) {
    if ((error as Partial<AuditCorruptionError>).record?.reason === CUT_SHORT) return undefined;
    if (isUnwrittenTail(await readFile(segmentPath(layout, segment)), 0)) return undefined;
    throw error;
  }
};

/** Kind and id of an intent or outcome: from the first bytes as the gateway writes them, else by parsing. */
const markOf = (payload: Buffer): { kind: 'intent' | 'outcome'; id: string } | undefined => {
  const match = /^\{"kind":"(?:(intent|outcome)","id":"([^"\\]+)"|suppressed"|event")/.exec(
    payload.toString('latin1', 0, 256),
  );
  if (match && !match[1]) return undefined;
  if (match && /^[\x20-\x7e]+$/.test(match[2] as string)) {
    return { kind: match[1] as 'intent' | 'outcome', id: match[2] as string };
  }
  const record = JSON.parse(payload.toString('utf8')) as AuditRecord;
  if ((record.kind === 'intent' || record.kind === 'outcome') && record.id !== null)
    return { kind: record.kind, id: record.id };
  return undefined;
};

/**
 * The contents of the last write that are not whole: chain and content are made durable side by side, so a power loss
 * can leave a record whose content it took. After a clean stop there are none.
 */
const findLostContent = async (
  layout: AuditLayout,
  payloads: readonly Buffer[],
  now: number,
): Promise<LostContent[]> => {
  const records = payloads.map((payload) => JSON.parse(payload.toString('utf8')) as AuditRecord);
  const newest = records.at(-1);
  if (newest?.kind === 'event' && newest.event === LOG_CLOSED) return [];
  const known = new Set(
    records.flatMap((record) => lostContents(record).map((lost) => `${lost.segment}:${lost.offset}`)),
  );
  const reader = new ContentReader(layout);
  const lost: LostContent[] = [];
  try {
    for (const record of records) {
      if (!('content' in record) || !record.content) continue;
      for (const frame of framesOf(record.content)) {
        const { segment, offset } = frame;
        if (known.has(`${segment}:${offset}`) || (parseContentName(segment)?.expiresAt ?? 0) <= now) continue;
        const { state } = await reader.read(frame);
        if (state === 'missing' || state === 'changed') lost.push({ id: record.id, segment, offset });
      }
    }
  } finally {
    await reader.close();
  }
  return lost;
};

/** Name of the event that says that a writer took the log up, and what it found. */
export const LOG_OPENED = 'log_opened';
/** Name of the event that is the last record of a clean stop. */
export const LOG_CLOSED = 'log_closed';

/** A content that a crash did not leave whole. */
export interface LostContent extends ContentPlace {
  readonly id: string | null;
}

/** Where a content's frame lies. */
export interface ContentPlace {
  readonly segment: string;
  readonly offset: number;
}

/** The contents that a record says a crash took. */
export const lostContents = (record: AuditRecord): readonly LostContent[] =>
  record.kind === 'event' && record.event === LOG_OPENED
    ? ((record.detail as { content_lost?: readonly LostContent[] }).content_lost ?? [])
    : [];

/** The records of open intents, oldest first. */
export const readOpenIntents = async (
  layout: AuditLayout,
  open: ReadonlyMap<string, RecordPlace>,
): Promise<AuditIntent[]> => {
  const places = [...open.values()].sort((a, b) => a.segment - b.segment || a.offset - b.offset);
  const intents: AuditIntent[] = [];
  for (const place of places) {
    const record = JSON.parse((await readPayloadAt(layout, place)).toString('utf8')) as AuditRecord;
    if (record.kind === 'intent') intents.push(record);
  }
  return intents;
};

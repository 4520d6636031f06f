import { type AuditLayout, auditLayout, listSegments } from '../audit/layout.ts';
import type { AuditStart } from '../audit/read.ts';
import { readFrames, readPayloadAt } from '../audit/read-frames.ts';
import { parseOpening } from '../audit/segment-opening.ts';
import type { DecisionSource, RecordBatch } from './decision-source.ts';
import { recordHead } from './record-head.ts';

const BATCH_RECORDS = 512;
/** A request's record is written when it is admitted; its time is when it came. No request waits longer than this. */
const LATE_MS = 3_600_000;

/**
 * The audit logs of these homes (one a process that served), merged by time. Every frame and chain is checked, as
 * readAudit does; a torn tail is left out. Throws AuditCorruptionError where a log is damaged.
 */
export const createAuditSource = (homes: readonly string[]): DecisionSource => ({
  name: homes.length === 1 ? `the audit log in ${homes[0]}` : `${homes.length} audit logs in ${homes[0]}`,
  async *batches({ sinceMs }) {
    let batch: (Buffer | string)[] = [];
    for await (const payload of merged(homes, sinceMs)) {
      batch.push(payload);
      if (batch.length === BATCH_RECORDS) {
        yield batch satisfies RecordBatch;
        batch = [];
      }
    }
    if (batch.length > 0) yield batch;
  },
});

const merged = (homes: readonly string[], sinceMs: number | undefined): AsyncIterable<Buffer> => {
  const [only] = homes;
  return homes.length === 1 ? payloadsOf(only as string, sinceMs) : mergedByTime(homes, sinceMs);
};

interface Reader {
  readonly payloads: AsyncGenerator<Buffer>;
  payload: Buffer;
  timeMs: number;
}

async function* mergedByTime(homes: readonly string[], sinceMs: number | undefined): AsyncGenerator<Buffer> {
  const readers: Reader[] = [];
  const advance = async (reader: Reader): Promise<boolean> => {
    const { done, value } = await reader.payloads.next();
    if (done) return false;
    reader.payload = value;
    // An outcome comes after its intent in a log: its time must not let it overtake, so a reader's time never falls.
    reader.timeMs = Math.max(reader.timeMs, recordHead(value)?.timeMs ?? 0);
    return true;
  };
  try {
    for (const home of homes) {
      const reader: Reader = { payloads: payloadsOf(home, sinceMs), payload: Buffer.alloc(0), timeMs: 0 };
      if (await advance(reader)) readers.push(reader);
    }
    while (readers.length > 0) {
      const next = readers.reduce((first, reader) => (reader.timeMs < first.timeMs ? reader : first));
      yield next.payload;
      if (!(await advance(next))) readers.splice(readers.indexOf(next), 1);
    }
  } finally {
    for (const { payloads } of readers) await payloads.return(undefined);
  }
}

async function* payloadsOf(home: string, sinceMs: number | undefined): AsyncGenerator<Buffer> {
  const layout = auditLayout(home);
  const from = sinceMs === undefined ? undefined : await segmentOf(layout, sinceMs - LATE_MS);
  for await (const { payload } of readFrames(layout, { from, skip: isNoDecision })) yield payload;
}

/** The segment in which a moment lies, so that a year's log is not read for a week of it. */
const segmentOf = async (layout: AuditLayout, momentMs: number): Promise<AuditStart | undefined> => {
  for (const segment of (await listSegments(layout)).reverse()) {
    if (segment === 1) break;
    const payload = await readPayloadAt(layout, { segment, offset: 0 });
    if (!parseOpening(payload)) break; // damage: reading from the start finds and names it
    const { time } = JSON.parse(payload.toString('utf8')) as { time: string };
    if (Date.parse(time) <= momentMs) return { segment, offset: 0 };
  }
  return undefined;
};

const EVENT = Buffer.from('{"kind":"event",');
const isNoDecision = (payload: Buffer): boolean => payload.subarray(0, EVENT.length).equals(EVENT);

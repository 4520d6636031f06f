import type { AuditIntent, AuditOutcome } from '../types.gen.ts';
import type { FoundDecision } from './find.ts';
import { type AuditLayout, auditLayout, listSegments } from './layout.ts';
import { type AuditPosition, parseRecord } from './read.ts';
import { readFrames, readPayloadAt } from './read-frames.ts';
import { parseOpening } from './segment-opening.ts';

/** Segments that are read at most, 1 GiB: a stream of an hour ends within them on all but the busiest gateways. */
const MOST_SEGMENTS = 16;

/**
 * Finds a decision whose time is known, such as from its id: reads the segment of that time and the ones behind it until
 * its outcome, never more than 1 GiB of however long a log. Undefined when it is not there; without events, which may lie
 * anywhere behind. Throws AuditCorruptionError where a segment is damaged.
 */
export const findDecisionByTime = async (
  home: string,
  id: string,
  timeMs: number,
): Promise<FoundDecision | undefined> => {
  const layout = auditLayout(home);
  const segments = await listSegments(layout);
  const first = await segmentOf(layout, segments, timeMs);
  if (first === undefined) return undefined;
  const needle = Buffer.from(JSON.stringify(id));
  let intent: AuditIntent | undefined;
  let outcome: AuditOutcome | undefined;
  let position: AuditPosition | undefined;
  const skip = (payload: Buffer): boolean => !payload.includes(needle);
  // A segment at a time: what does not name it is checked and not given, so the walk itself knows no end.
  for (const segment of segments.filter((number) => number >= first).slice(0, MOST_SEGMENTS)) {
    for await (const frame of readFrames(layout, { from: { segment, offset: 0 }, until: segment, skip })) {
      const record = parseRecord(frame);
      if (record.kind === 'event' || record.kind === 'suppressed' || record.id !== id) continue;
      if (record.kind === 'intent') intent = record;
      else outcome = record;
      position ??= frame.position;
      if (outcome) return { id, intent, outcome, events: [], position };
    }
  }
  return position && { id, intent, outcome, events: [], position };
};

/**
 * The segment in which a moment lies: the last that was opened before it. One of the same millisecond may have been opened
 * after it. Undefined for an empty log.
 */
const segmentOf = async (
  layout: AuditLayout,
  segments: readonly number[],
  timeMs: number,
): Promise<number | undefined> => {
  let [low, high] = [0, segments.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((await openedMs(layout, segments[middle] as number)) < timeMs) low = middle;
    else high = middle - 1;
  }
  return segments[low];
};

/** When a segment was opened. One that has no whole opening yet was not. */
const openedMs = async (layout: AuditLayout, segment: number): Promise<number> => {
  try {
    const payload = await readPayloadAt(layout, { segment, offset: 0 });
    if (!parseOpening(payload)) return Number.POSITIVE_INFINITY;
    return Date.parse((JSON.parse(payload.toString('utf8')) as { time: string }).time);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'audit_corrupt') return Number.POSITIVE_INFINITY;
    throw error;
  }
};

import { readFile } from 'node:fs/promises';
import type { AuditEvent, AuditIntent, AuditOutcome } from '../types.gen.ts';
import { auditLayout, listSegments, segmentPath } from './layout.ts';
import { type AuditPosition, parseRecord } from './read.ts';
import { readFrames } from './read-frames.ts';

/** All that the log says of one decision. */
export interface FoundDecision {
  readonly id: string;
  readonly intent: AuditIntent | undefined;
  /** Undefined while the request is under way, or when its gateway died and none has started since. */
  readonly outcome: AuditOutcome | undefined;
  /** Decision ids of the mirrors that were asked the same, oldest first. Absent: none are known. */
  readonly mirrors?: readonly string[];
  /** Events that name it, such as content_erased, oldest first. */
  readonly events: readonly AuditEvent[];
  /** Where its first record lies. */
  readonly position: AuditPosition;
}

/**
 * Finds a decision by its id; undefined when the log has none. The newest segment is searched first, as raw bytes, so a
 * recent decision is found at once and an old one at the speed of reading. Segments with a hit are verified. Throws
 * AuditCorruptionError when one is damaged.
 */
export const findDecision = async (home: string, id: string): Promise<FoundDecision | undefined> => {
  const layout = auditLayout(home);
  const needle = Buffer.from(JSON.stringify(id));
  let intent: AuditIntent | undefined;
  let outcome: AuditOutcome | undefined;
  let position: AuditPosition | undefined;
  const events: AuditEvent[] = [];
  const mirrors = new Set<string>();
  for (const segment of (await listSegments(layout)).reverse()) {
    if (!(await readFile(segmentPath(layout, segment))).includes(needle)) continue;
    const newer = events.splice(0);
    for await (const frame of readFrames(layout, { from: { segment, offset: 0 } })) {
      if (frame.position.segment !== segment) break;
      if (!frame.payload.includes(needle)) continue;
      const record = parseRecord(frame);
      if (record.kind === 'suppressed') continue;
      if (record.kind === 'event') {
        if ((record.detail as { ids?: unknown[] }).ids?.includes(id)) events.push(record);
      } else if (record.mirror_of === id && record.id !== null) mirrors.add(record.id);
      else if (record.id === id) {
        if (record.kind === 'intent') intent = record;
        else outcome = record;
        if (record.kind === 'intent' || !position || position.segment > segment) position = frame.position;
      }
    }
    events.push(...newer);
    // A decision has an intent, or an outcome that holds what an intent would: nothing older can belong to it.
    if (intent || outcome?.decision) break;
  }
  if (!position) return undefined;
  return { id, intent, outcome, ...(mirrors.size > 0 && { mirrors: [...mirrors].sort() }), events, position };
};

import { AuditCorruptionError } from './corruption.ts';
import { auditLayout, listSegments } from './layout.ts';
import { CUT_SHORT, readPayloadAt } from './read-frames.ts';
import { parseOpening } from './segment-opening.ts';

/**
 * The id of the log in `home`, 32 hex digits, from the first record of its oldest segment; undefined while there is none.
 * Throws AuditCorruptionError when that record is not one.
 */
export const readLogId = async (home: string): Promise<string | undefined> => {
  const layout = auditLayout(home);
  const [segment] = await listSegments(layout);
  if (segment === undefined) return undefined;
  try {
    const opening = parseOpening(await readPayloadAt(layout, { segment, offset: 0 }));
    if (opening) return opening.log;
    const reason = 'the segment does not start with segment_opened';
    throw new AuditCorruptionError({ segment, offset: 0, index: 0, id: null, reason });
  } catch (error) {
    // Its first record is being written.
    if ((error as { record?: { reason?: unknown } } | null)?.record?.reason === CUT_SHORT) return undefined;
    throw error;
  }
};

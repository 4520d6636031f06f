/** What is known of an audit record without parsing it. */
export interface RecordHead {
  readonly kind: 'intent' | 'outcome';
  /** The decision's id. */
  readonly id: string;
  /** When the request came (intent), or ended (outcome), milliseconds since 1970. */
  readonly timeMs: number;
}

/** Our writer puts kind, id and time first; an id of 128 characters and a request id of 128 fit. */
const HEAD_BYTES = 384;
const INTENT = /^\{"kind":"intent","id":"([\x20\x21\x23-\x5b\x5d-\x7e]{1,128})","time":"([^"]{1,40})"/;
const OUTCOME =
  /^\{"kind":"outcome","id":"([\x20\x21\x23-\x5b\x5d-\x7e]{1,128})","request_id":"[^"\\]{0,128}","time":"([^"]{1,40})"/;
/** Right behind the time, by our own writer. */
const MIRRORED = ',"mirror_of":';
/** Failures before a decision have no id. */
const OTHERS = ['{"kind":"event",', '{"kind":"suppressed",', '{"kind":"outcome","id":null,'];

/**
 * The head of a record; undefined for one that is of no decision, or of a mirror, which was decided with the request that
 * it mirrors. Reads the first bytes where our own writer wrote them,
 * and parses the whole where another did (a database may order the keys anew). Throws an Error for what is no record.
 */
export const recordHead = (payload: Buffer | string): RecordHead | undefined => {
  const start = typeof payload === 'string' ? payload.slice(0, HEAD_BYTES) : payload.toString('latin1', 0, HEAD_BYTES);
  if (OTHERS.some((beginning) => start.startsWith(beginning))) return undefined;
  const kind = start.startsWith('{"kind":"intent"') ? 'intent' : 'outcome';
  const match = (kind === 'intent' ? INTENT : OUTCOME).exec(start);
  if (match && start.startsWith(MIRRORED, match[0].length)) return undefined;
  if (match) return { kind, id: match[1]!, timeMs: momentOf(match[2]) };
  return parsedHead(payload);
};

const parsedHead = (payload: Buffer | string): RecordHead | undefined => {
  const { kind, id, time, mirror_of: original } = parsed(payload.toString());
  if (original !== undefined) return undefined;
  if (kind === 'event' || kind === 'suppressed' || (kind === 'outcome' && id === null)) return undefined;
  if ((kind === 'intent' || kind === 'outcome') && typeof id === 'string') return { kind, id, timeMs: momentOf(time) };
  throw new Error('a record that is no audit record: neither intent, outcome, suppressed nor event');
};

interface Heading {
  readonly kind?: unknown;
  readonly id?: unknown;
  readonly time?: unknown;
  readonly mirror_of?: unknown;
}

const parsed = (json: string): Heading => {
  try {
    return (JSON.parse(json) as Heading | null) ?? {};
  } catch {
    return {}; // the caller says that it is no record
  }
};

const momentOf = (time: unknown): number => {
  const moment = Date.parse(String(time));
  if (Number.isNaN(moment)) throw new Error(`an audit record without a time: ${JSON.stringify(time)}`);
  return moment;
};

/** A hash of an id, 32 bits: which worker has it, and whether a sample does. FNV-1a, mixed once more. */
export const idHash = (id: string): number => {
  let hash = 0x811c9dc5;
  for (let index = 0; index < id.length; index++) hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

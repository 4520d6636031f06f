import type { AuditRecord } from '../types.gen.ts';
import { type Checkpoint, createCheckpointVerifier, parseCheckpoints, readText } from './checkpoint.ts';
import { ContentAudit, type ContentCounts } from './content-audit.ts';
import type { AuditCorruptionError, BadRecord } from './corruption.ts';
import { type AuditLayout, auditLayout, listSegments } from './layout.ts';
import { type AuditPosition, parseRecord } from './read.ts';
import { type AuditFrame, readFrames, START, type TornTail } from './read-frames.ts';
import { parseOpening, type SegmentOpening } from './segment-opening.ts';

/** What a verification found. `ok` is false when anything was changed, removed, reordered or is missing. */
export interface AuditReport {
  readonly ok: boolean;
  /** The earliest bad record; null when all are good. */
  readonly bad: BadRecord | null;
  /** All findings, earliest first, at most MAX_PROBLEMS. */
  readonly problems: readonly BadRecord[];
  /** The log's id; null when there is none. */
  readonly log: string | null;
  readonly segments: number;
  readonly records: number;
  readonly intents: number;
  readonly outcomes: number;
  readonly events: number;
  readonly suppressed: number;
  /** Decision ids of intents without an outcome: requests under way, or a gateway that died. */
  readonly openIntents: readonly string[];
  readonly contents: ContentCounts;
  /** Decision ids whose content was erased. */
  readonly erased: readonly string[];
  /** Content segments whose retention is over. */
  readonly expired: readonly string[];
  readonly torn: TornTail | null;
  /** Checkpoints that agreed with the log. */
  readonly checkpoints: number;
  /** Chain hash after the last record, hex. */
  readonly head: string;
  /** Public key of the log's checkpoints; null when there is none. */
  readonly verifierKey: string | null;
}

/** What to verify against. */
export interface VerifyOptions {
  /** Text of checkpoints that were kept elsewhere. */
  readonly checkpoints?: string | undefined;
  /** The key that must have signed those; default: the one beside the log. */
  readonly verifierKey?: string | undefined;
  readonly now?: number | undefined;
}

const MAX_PROBLEMS = 100;

/**
 * Walks the whole log of `home` and checks every frame, the chain, every content, the order of intents and outcomes, and
 * the checkpoints beside the log and those given. Reads only; safe beside a running gateway. Throws TypeError when
 * `verifierKey` is not a key or `checkpoints` holds no checkpoint.
 */
export const verifyAudit = async (home: string, options: VerifyOptions = {}): Promise<AuditReport> => {
  const layout = auditLayout(home);
  // Checkpoints first: the log only grows, so whatever they tell of is there when it is walked.
  const marks = await readMarks(layout, options);
  const walk = new Walk(layout, marks, options.now ?? Date.now());
  return walk.run();
};

/** A checkpoint to compare with, and why it cannot be trusted, if so. */
interface Mark {
  readonly checkpoint: Checkpoint;
  readonly source: string;
  readonly isSigned: boolean;
}

interface Marks {
  readonly marks: readonly Mark[];
  readonly verifierKey: string | null;
  /** What the file of checkpoints holds besides, if more than the torn end of one. */
  readonly hasOther: boolean;
}

const LONGEST_NOTE = 512;

const readMarks = async (layout: AuditLayout, options: VerifyOptions): Promise<Marks> => {
  const verifierKey = (await readText(layout.checkpointPublicKey))?.trim() ?? null;
  const own = parseCheckpoints((await readText(layout.checkpoints)) ?? '');
  const isOwn = verifierKey === null ? () => false : createCheckpointVerifier(verifierKey);
  const marks = own.checkpoints.map((checkpoint) => ({
    checkpoint,
    source: 'its checkpoints',
    isSigned: isOwn(checkpoint),
  }));
  if (options.checkpoints !== undefined) {
    const given = parseCheckpoints(options.checkpoints).checkpoints;
    if (given.length === 0) throw new TypeError('the file holds no checkpoint of an audit log');
    const key = options.verifierKey ?? verifierKey;
    const isGiven = key === null ? () => false : createCheckpointVerifier(key);
    for (const checkpoint of given)
      marks.push({ checkpoint, source: 'the checkpoint given', isSigned: isGiven(checkpoint) });
  }
  marks.sort((a, b) => a.checkpoint.records - b.checkpoint.records);
  return { marks, verifierKey, hasOther: own.rest.length > LONGEST_NOTE };
};

class Walk {
  readonly #layout: AuditLayout;
  readonly #marks: Marks;
  readonly #contents: ContentAudit;
  readonly #problems: BadRecord[] = [];
  readonly #open = new Map<string, AuditPosition>();
  readonly #counts = { intent: 0, outcome: 0, event: 0, suppressed: 0 };
  #end: AuditPosition = START;
  #log: string | null = null;
  #nextMark = 0;
  #agreed = 0;
  #torn: TornTail | null = null;
  #isDamaged = false;

  constructor(layout: AuditLayout, marks: Marks, now: number) {
    this.#layout = layout;
    this.#marks = marks;
    this.#contents = new ContentAudit(layout, now);
  }

  async run(): Promise<AuditReport> {
    try {
      await this.#contents.readOrders();
      await this.#walk();
      for (const problem of await this.#contents.problems()) this.#problems.push(problem);
    } finally {
      await this.#contents.close();
    }
    this.#compareRest();
    if (this.#marks.hasOther) this.#report(this.#end, null, 'the file of checkpoints holds something else');
    this.#problems.sort((a, b) => a.index - b.index);
    const { intent, outcome, event, suppressed } = this.#counts;
    return {
      ok: this.#problems.length === 0,
      bad: this.#problems[0] ?? null,
      problems: this.#problems.slice(0, MAX_PROBLEMS),
      log: this.#log,
      segments: (await listSegments(this.#layout)).length,
      records: this.#end.index,
      intents: intent,
      outcomes: outcome,
      events: event,
      suppressed,
      openIntents: [...this.#open.keys()],
      contents: this.#contents.counts,
      erased: this.#contents.erased,
      expired: this.#contents.expired,
      torn: this.#torn,
      checkpoints: this.#agreed,
      head: this.#end.chain,
      verifierKey: this.#marks.verifierKey,
    };
  }

  async #walk(): Promise<void> {
    const onTorn = (torn: TornTail) => {
      this.#torn = torn;
    };
    try {
      this.#compareMarks();
      for await (const frame of readFrames(this.#layout, { onTorn })) {
        const record = parseRecord(frame);
        if (frame.position.offset === 0) this.#checkOpening(frame);
        this.#checkOrder(frame.position, record);
        await this.#contents.check(frame.position, record);
        this.#end = frame.next;
        this.#compareMarks();
      }
    } catch (error) {
      const { code, record } = error as Partial<AuditCorruptionError>;
      if (code !== 'audit_corrupt' || !record) throw error;
      this.#isDamaged = true;
      this.#problems.push(record);
    }
  }

  #checkOpening(frame: AuditFrame): void {
    const { position } = frame;
    const opening = parseOpening(frame.payload);
    if (!opening) {
      this.#report(position, null, 'the segment does not start with segment_opened');
      return;
    }
    this.#log ??= opening.log;
    const wrong = this.#wrongIn(opening, position);
    if (wrong) this.#report(position, null, `segment_opened is wrong about ${wrong}`);
  }

  #wrongIn(opening: SegmentOpening, position: AuditPosition): string | undefined {
    if (opening.log !== this.#log) return 'the log';
    if (opening.segment !== position.segment) return 'the segment';
    if (opening.index !== position.index) return 'the number of records';
    if (opening.previous !== position.chain) return 'the record before';
    const isSame = opening.open.length === this.#open.size && opening.open.every(({ id }) => this.#open.has(id));
    return isSame ? undefined : 'the open intents';
  }

  #checkOrder(position: AuditPosition, record: AuditRecord): void {
    this.#counts[record.kind] += 1;
    if (record.kind === 'intent') {
      if (this.#open.has(record.id)) this.#report(position, record.id, 'a second intent of this decision');
      this.#open.set(record.id, position);
    }
    if (record.kind === 'outcome' && record.id !== null) {
      const had = this.#open.delete(record.id);
      // An outcome that holds no decision of its own needs an intent that does.
      if (!had && record.decision === null) {
        this.#report(position, record.id, 'an outcome without an intent, or a second one of this decision');
      }
    }
  }

  /** Compares the checkpoints that tell of as many records as were read. */
  #compareMarks(): void {
    const { marks } = this.#marks;
    for (
      let mark = marks[this.#nextMark];
      mark && mark.checkpoint.records <= this.#end.index;
      mark = marks[this.#nextMark]
    ) {
      this.#nextMark += 1;
      const { checkpoint, source } = mark;
      if (!mark.isSigned) this.#report(this.#end, null, `${source} of ${checkpoint.time} has a wrong signature`);
      else if (checkpoint.head !== this.#end.chain) {
        const reason = `${source} of ${checkpoint.time} has another chain hash after ${checkpoint.records} records: they were rewritten`;
        this.#report({ ...this.#end, index: Math.max(0, this.#end.index - 1) }, null, reason);
      } else if (this.#log !== null && checkpoint.log !== this.#log) {
        this.#report(this.#end, null, `${source} of ${checkpoint.time} is of another log`);
      } else this.#agreed += 1;
    }
  }

  /** Checkpoints that tell of more records than there are. Behind a bad record that is no finding of its own. */
  #compareRest(): void {
    const { marks } = this.#marks;
    const last = marks.at(-1);
    if (this.#isDamaged || !last || this.#nextMark >= marks.length) return;
    const { records, time } = last.checkpoint;
    const missing = `the tail is cut: ${last.source} of ${time} tells of ${records} records`;
    this.#report(this.#end, null, last.isSigned ? missing : `${last.source} of ${time} has a wrong signature`);
  }

  #report(at: AuditPosition, id: string | null, reason: string): void {
    const { segment, offset, index } = at;
    this.#problems.push({ segment, offset, index, id, reason });
  }
}

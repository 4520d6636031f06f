import type { AuditContent, AuditLog, ContentDraft } from '../audit/audit-log.ts';
import type { AnswerEvents, Protocol } from '../protocol/protocol.ts';
import { mayTellError, parsedEvents } from '../protocol/stream-events.ts';
import { estimateTokens } from '../tokens.ts';
import type { Decision } from '../types.gen.ts';

/** Of a longer answer, what is beyond goes to the audit's disk in pieces of this size. */
export const HELD_BYTES = 256 * 1024;

/** What an answer is collected for. */
export interface AnswerContentOptions {
  readonly audit: Pick<AuditLog, 'openContent'>;
  /** What the decision keeps of content; nothing without one. */
  readonly keep: Decision['audit'] | undefined;
  /** The wire format of what is received. */
  readonly wire: Protocol;
  /** Whether what is sent may be other bytes than what is received. */
  readonly isChanged: boolean;
  readonly listener: ContentListener;
}

/** Told while an answer is collected. */
export interface ContentListener {
  /** The disk lags behind: no more should be taken until `caughtUp`. What comes all the same is held. */
  lags(): void;
  caughtUp(): void;
  /** The audit refused a piece, with GatewayError `audit_unavailable`: the rest of the answer will not be kept. */
  failed(error: unknown): void;
}

/**
 * How many characters are estimated at a time: of so few each is read (tokens.ts). Of more only windows are, which would
 * begin and end within the words that a stream is made of.
 */
const ESTIMATED_CHARACTERS = 2048;

const EMPTY = Buffer.alloc(0);

/**
 * The bytes of a streamed answer, for the audit and for an estimate of what it cost. An answer of up to HELD_BYTES is
 * held as it came. Of a longer one pieces are written while it goes on; what is held is less than twice HELD_BYTES and
 * one event: what was gathered, and a piece on its way to the disk.
 */
export class AnswerContent {
  readonly #options: AnswerContentOptions;
  /** Which of the two the audit keeps. */
  readonly #kept: 'received' | 'sent' | null;
  readonly #reader: AnswerEvents;
  #received: Buffer[] = [];
  #sent: Buffer[] = [];
  #heldBytes = 0;
  /** The last of what was let go of. */
  #before: readonly Buffer[] = [];
  /** How many of `#received` are in `#outputTokens`. */
  #counted = 0;
  #outputTokens = 0;
  /** Why what was let go of could not be counted. */
  #uncounted: unknown;
  #draft: ContentDraft | undefined;
  #isWriting = false;
  #isLagging = false;
  #hasFailed = false;

  constructor(options: AnswerContentOptions) {
    this.#options = options;
    const mode = options.keep?.content ?? 'none';
    this.#kept = mode === 'none' ? null : mode === 'full' && options.isChanged ? 'sent' : 'received';
    this.#reader = options.wire.answerEvents();
  }

  /** Takes whole events as the upstream sent them. */
  receive(events: Buffer): void {
    this.#received.push(events);
    this.#hold(events.length);
  }

  /** Takes what went to the caller; kept only where it differs and the decision keeps it. */
  send(bytes: Buffer): void {
    if (this.#kept !== 'sent') return;
    this.#sent.push(bytes);
    this.#hold(bytes.length);
  }

  /** The last two of what was received; empty in place of one that was let go of and tells of no error. */
  get recent(): readonly Buffer[] {
    return [...this.#before, ...this.#received.slice(-2)].slice(-2);
  }

  /** Estimated tokens of all texts received. Throws when an event could not be read. */
  estimateOutput(): number {
    if (this.#uncounted) throw this.#uncounted;
    // The pieces of a channel make one text: some providers send it letter by letter.
    const texts = new Map<string, string>();
    let characters = 0;
    const count = (): void => {
      this.#outputTokens += estimateTokens([...texts.values()]);
      texts.clear();
      characters = 0;
    };
    const add = (channel: string, value: string): void => {
      if (characters + value.length > ESTIMATED_CHARACTERS) count();
      texts.set(channel, (texts.get(channel) ?? '') + value);
      characters += value.length;
    };
    for (; this.#counted < this.#received.length; this.#counted++) {
      for (const event of parsedEvents(this.#received[this.#counted] as Buffer)) {
        const { pieces, unchanged = '' } = this.#reader.read(event);
        for (const { channel, value, isRepeat } of pieces) if (!isRepeat) add(channel, value);
        if (unchanged !== '') add('unchanged', unchanged);
      }
    }
    count();
    return this.#outputTokens;
  }

  /** What the audit keeps of the answer, for its outcome; undefined when nothing is kept, or a piece was refused. */
  finish(): AuditContent | undefined {
    const { keep } = this.#options;
    if (!keep || !this.#kept || this.#hasFailed) return undefined;
    const content = { chunks: this.#keptChunks(), retentionDays: keep.retention_days };
    return this.#draft ? { ...content, draft: this.#draft } : content;
  }

  #hold(bytes: number): void {
    this.#heldBytes += bytes;
    if (this.#heldBytes > HELD_BYTES) this.#spill();
  }

  #keptChunks(): Buffer[] {
    return this.#kept === 'sent' ? this.#sent : this.#received;
  }

  /** Lets go of what is held, which is counted first and written if it is kept. */
  #spill(): void {
    const { keep, audit, listener } = this.#options;
    if (this.#isWriting) {
      if (this.#isLagging) return;
      this.#isLagging = true;
      listener.lags();
      return;
    }
    // Whoever asks for the estimate is to know, not the stream.
    try {
      this.estimateOutput();
    } catch (error) {
      this.#uncounted = error;
    }
    const piece = this.#keptChunks();
    this.#before = this.recent.map((events) => (mayTellError(events) ? events : EMPTY));
    this.#received = [];
    this.#sent = [];
    this.#counted = 0;
    this.#heldBytes = 0;
    if (!keep || !this.#kept || this.#hasFailed || piece.length === 0) return;
    this.#draft ??= audit.openContent(keep.retention_days);
    this.#isWriting = true;
    this.#draft.write(piece).then(this.#written, this.#refused);
  }

  #written = (): void => {
    this.#isWriting = false;
    if (this.#heldBytes > HELD_BYTES) this.#spill();
    // A second piece is on its way now: the next that fills up waits for it in turn.
    if (!this.#isLagging) return;
    this.#isLagging = false;
    this.#options.listener.caughtUp();
  };

  #refused = (error: unknown): void => {
    this.#isWriting = false;
    this.#hasFailed = true;
    this.#draft?.discard();
    this.#options.listener.failed(error);
  };
}

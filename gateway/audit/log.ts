import { randomBytes } from 'node:crypto';
import { mkdir, rm, truncate } from 'node:fs/promises';
import type { AuditEvent, AuditIntent, AuditRecord, ContentRef } from '../types.gen.ts';
import type { AuditContent, ContentDraft, RecoveredAuditLog } from './audit-log.ts';
import { ChainWriter } from './chain-writer.ts';
import { type CheckpointLog, openCheckpointLog } from './checkpoint-log.ts';
import { ContentDrafts } from './content-drafts.ts';
import { ContentStore, contentNumbers } from './content-store.ts';
import { type AuditDisk, localDisk } from './disk.ts';
import { recordErasures } from './erase.ts';
import { type AuditLayout, auditLayout, segmentPath } from './layout.ts';
import { takeWriterLock } from './lock.ts';
import { START } from './read-frames.ts';
import { LOG_CLOSED, LOG_OPENED, type Recovered, readOpenIntents, recoverChain } from './recover.ts';
import { expireContent, expiredEvent } from './retention.ts';

/** How to open an audit log. All but `home` have defaults. */
export interface AuditLogOptions {
  readonly home: string;
  /** Between two signed checkpoints, while there are records. */
  readonly checkpointMs?: number;
  /** How large a segment of the chain becomes. */
  readonly segmentBytes?: number;
  /** How long an append may take. */
  readonly timeoutMs?: number;
  readonly disk?: AuditDisk;
  readonly now?: () => number;
  /** Told of work beside the records that failed and will be tried again: a checkpoint, a sweep, an erasure. */
  readonly onWarning?: (message: string, cause: unknown) => void;
}

const SWEEP_MS = 3_600_000;
const PROBE_MS = 500;
/** Pieces of long contents may take so many times as long as a record: their streams wait with them. */
const PIECE_TIMEOUTS = 5;

/**
 * Opens the audit log of a home, or begins one. Takes the home's writer lock, cuts a torn tail, and proves by a first
 * record that the disk takes records. Throws AuditLockedError when another process has the log, AuditCorruptionError when
 * its last segment was changed or its tail was cut, and GatewayError `audit_unavailable` when the disk refuses.
 */
export const openAuditLog = async (options: AuditLogOptions): Promise<RecoveredAuditLog> => {
  const layout = auditLayout(options.home);
  const disk = options.disk ?? localDisk;
  for (const folder of [layout.root, layout.chain, layout.content, layout.keys, layout.erasures]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  const lock = takeWriterLock(layout.lock);
  try {
    return await openLocked(options, layout, disk, () => lock.release());
  } catch (error) {
    lock.release();
    throw error;
  }
};

const openLocked = async (
  options: AuditLogOptions,
  layout: AuditLayout,
  disk: AuditDisk,
  release: () => void,
): Promise<RecoveredAuditLog> => {
  const now = options.now ?? Date.now;
  const recovered = await recoverChain(layout, now());
  const log = recovered?.log ?? randomBytes(16).toString('hex');
  const end = recovered?.end ?? START;
  const checkpoints = await openCheckpointLog(layout, disk, log, end);
  await cutTail(layout, disk, recovered);
  const openIntents = recovered ? await readOpenIntents(layout, recovered.open) : [];
  const nextNumber = await contentNumbers(layout);
  const timeoutMs = options.timeoutMs ?? 1000;
  const writer = new ChainWriter({
    layout,
    disk,
    contents: new ContentStore(layout, disk, nextNumber),
    log,
    end: { ...end, chain: Buffer.from(end.chain, 'hex') },
    open: new Map(recovered?.open),
    segmentBytes: options.segmentBytes ?? 64 * 1024 * 1024,
    timeoutMs,
    now,
  });
  const drafts = new ContentDrafts({
    segments: new ContentStore(layout, disk, nextNumber),
    timeoutMs: PIECE_TIMEOUTS * timeoutMs,
    now,
  });
  try {
    await writer.append(openedEvent(recovered, openIntents.length, now()));
  } catch (error) {
    await writer.close();
    throw error;
  }
  return new OpenAuditLog({ options, layout, disk, now, writer, drafts, checkpoints, openIntents, release });
};

/** Removes what a crash left behind the last whole record. */
const cutTail = async (layout: AuditLayout, disk: AuditDisk, recovered: Recovered | undefined): Promise<void> => {
  if (recovered?.torn) {
    const path = segmentPath(layout, recovered.torn.segment);
    await truncate(path, recovered.torn.offset);
    const file = await disk.openAppend(path, false);
    await file.sync();
    await file.close();
  }
  for (const segment of recovered ? recovered.empty : [1]) await rm(segmentPath(layout, segment), { force: true });
  await disk.syncFolder(layout.chain);
  await disk.syncFolder(layout.root);
};

const openedEvent = (recovered: Recovered | undefined, openIntents: number, now: number): AuditEvent => ({
  kind: 'event',
  time: new Date(now).toISOString(),
  event: LOG_OPENED,
  detail: {
    records: recovered?.end.index ?? 0,
    open_intents: openIntents,
    torn_bytes: recovered?.torn?.bytes ?? 0,
    content_lost: recovered?.lost ?? [],
  },
});

interface Parts {
  readonly options: AuditLogOptions;
  readonly layout: AuditLayout;
  readonly disk: AuditDisk;
  readonly now: () => number;
  readonly writer: ChainWriter;
  readonly drafts: ContentDrafts;
  readonly checkpoints: CheckpointLog;
  readonly openIntents: readonly AuditIntent[];
  readonly release: () => void;
}

class OpenAuditLog implements RecoveredAuditLog {
  readonly openIntents: readonly AuditIntent[];
  readonly verifierKey: string;
  readonly append: RecoveredAuditLog['append'];
  readonly openContent: RecoveredAuditLog['openContent'];
  readonly #parts: Parts;
  readonly #timers: NodeJS.Timeout[];
  /** Appends that wait for the pieces of their content. */
  readonly #settling = new Set<Promise<unknown>>();
  #sweptAt = Number.NEGATIVE_INFINITY;
  #chores: Promise<void>;
  #closed: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.openIntents = parts.openIntents;
    this.verifierKey = parts.checkpoints.verifierKey;
    this.append = (record, content) =>
      content?.draft ? this.#appendDrafted(record, content, content.draft) : parts.writer.append(record, content);
    this.openContent = (retentionDays) => parts.drafts.open(retentionDays);
    this.#chores = this.#doChores();
    this.#timers = [
      setInterval(() => void this.#next(() => this.#doChores()), parts.options.checkpointMs ?? 60_000).unref(),
      setInterval(() => void this.#probe(), PROBE_MS).unref(),
    ];
  }

  get healthy(): boolean {
    return this.#parts.writer.isHealthy;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#chores;
    await Promise.allSettled(this.#settling);
    const { writer, drafts, checkpoints, release } = this.#parts;
    try {
      await this.#try('the log could not be closed cleanly', () => writer.append(this.#event(LOG_CLOSED, {})));
      await writer.close();
      await drafts.close();
      await this.#try('the last checkpoint was not written', () =>
        checkpoints.write(writer.durable, this.#parts.now()),
      );
      await checkpoints.close();
    } finally {
      release();
    }
  }

  /** The pieces are durable before the record is chained, so no record ever tells of a piece that a crash took. */
  async #appendDrafted(record: AuditRecord, content: AuditContent, draft: ContentDraft): Promise<ContentRef> {
    const settling = draft.settle();
    this.#settling.add(settling);
    try {
      return await this.#parts.writer.append(record, content, await settling);
    } finally {
      this.#settling.delete(settling);
    }
  }

  /** One round of chores at a time. */
  #next(chores: () => Promise<void>): Promise<void> {
    this.#chores = this.#chores.then(chores);
    return this.#chores;
  }

  async #doChores(): Promise<void> {
    const { layout, disk, writer, checkpoints, now } = this.#parts;
    const append = (event: AuditEvent) => writer.append(event);
    await this.#try('an erasure was not recorded', () => recordErasures(layout, disk, append, now()));
    if (now() - this.#sweptAt >= SWEEP_MS) {
      await this.#try('expired content was not removed', async () => {
        const expired = await expireContent(layout, disk, now());
        if (expired.length > 0) await append(expiredEvent(expired, now()));
        this.#sweptAt = now();
      });
    }
    await this.#try('a checkpoint was not written', () => checkpoints.write(writer.durable, now()));
  }

  /** While the disk refuses, a record of our own finds out when it is back. */
  async #probe(): Promise<void> {
    if (this.healthy) return;
    await this.#parts.writer.append(this.#event('log_resumed', {})).catch(() => {});
  }

  #event(event: string, detail: object): AuditEvent {
    return { kind: 'event', time: new Date(this.#parts.now()).toISOString(), event, detail };
  }

  async #try(failure: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#parts.options.onWarning?.(failure, error);
    }
  }
}

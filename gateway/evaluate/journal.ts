import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { takeWriterLock, type WriterLock } from '../audit/lock.ts';
import { SuiteError } from './suite.ts';

/** A request that a run makes: an answer to a task, or a judgement of answers. */
export interface CallName {
  /** Unique in the run, and the same when it is run again. */
  readonly call: string;
}

/** What came of a call. */
export interface CallResult extends CallName {
  readonly model: string;
  readonly text: string;
  /** Why there is no answer; null when there is one. */
  readonly error: string | null;
  readonly ms: number;
  readonly costMicroUsd: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly decisionId: string | null;
}

type Line =
  | { readonly kind: 'run'; readonly answers_sha256: string; readonly time: string }
  | ({ readonly kind: 'asked' } & CallName)
  | ({ readonly kind: 'withdrawn' } & CallName)
  | ({ readonly kind: 'result' } & CallResult);

/**
 * What a run did so far, as JSON Lines. Each call is on disk before it is made, so that after a crash no call is made
 * twice: one that was made and whose result is not here is lost, and may have been paid.
 */
export interface Journal {
  /** When the run began, RFC 3339. */
  readonly began: string;
  /** What all calls cost together, millionths of a US dollar, also of results that later ones replaced. */
  readonly spentMicroUsd: number;
  readonly results: ReadonlyMap<string, CallResult>;
  /** Calls that were made and have no result. */
  readonly lost: ReadonlySet<string>;
  asked(call: string): Promise<void>;
  /** A call that is certain to have reached no model: it is not lost. */
  withdrawn(call: string): Promise<void>;
  result(result: CallResult): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the journal of a run, and goes on where it ended; `answersSha256` is the digest of what the answers depend on.
 * Throws SuiteError when that is another one, when another process has it open, and when a line but the last is damaged; a
 * last line that was cut by a crash is removed.
 */
export const openJournal = async (file: string, answersSha256: string): Promise<Journal> => {
  // Prompts and answers may be somebody's.
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const lock = lockOf(file);
  const handle = await open(file, 'a+', 0o600);
  try {
    const { lines, wholeBytes } = parseLines(await readFile(file, 'utf8'), file);
    await handle.truncate(wholeBytes);
    const [first] = lines;
    if (first && (first.kind !== 'run' || first.answers_sha256 !== answersSha256)) {
      throw new SuiteError(
        `${file} is of another version of the suite or its tasks: give the run another folder (--results), or remove it`,
      );
    }
    return await journalOf(handle, lock, lines, answersSha256);
  } catch (error) {
    await handle.close();
    lock.release();
    throw error;
  }
};

/** Two runs of one journal would pay twice. */
const lockOf = (file: string): WriterLock => {
  try {
    return takeWriterLock(`${file}.lock`);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'audit_locked') throw error;
    throw new SuiteError(`another run writes ${file}: wait for it, or stop it`, { cause: error });
  }
};

const journalOf = async (
  handle: FileHandle,
  lock: WriterLock,
  lines: readonly Line[],
  answersSha256: string,
): Promise<Journal> => {
  const [opening] = lines;
  const began = opening?.kind === 'run' ? opening.time : new Date().toISOString();
  let spentMicroUsd = 0;
  const results = new Map<string, CallResult>();
  const lost = new Set<string>();
  for (const line of lines) {
    if (line.kind === 'asked') lost.add(line.call);
    if (line.kind === 'withdrawn') lost.delete(line.call);
    if (line.kind === 'result') {
      const { kind: _, ...result } = line;
      results.set(line.call, result);
      lost.delete(line.call);
      spentMicroUsd += line.costMicroUsd;
    }
  }
  let last: Promise<void> = Promise.resolve();
  const append = (line: Line): Promise<void> => {
    last = last.then(async () => {
      await handle.appendFile(`${JSON.stringify(line)}\n`);
      await handle.datasync();
    });
    return last;
  };
  if (lines.length === 0) await append({ kind: 'run', answers_sha256: answersSha256, time: began });
  return {
    began,
    get spentMicroUsd() {
      return spentMicroUsd;
    },
    results,
    lost,
    asked(call) {
      lost.add(call);
      return append({ kind: 'asked', call });
    },
    withdrawn(call) {
      lost.delete(call);
      return append({ kind: 'withdrawn', call });
    },
    async result(result) {
      results.set(result.call, result);
      lost.delete(result.call);
      spentMicroUsd += result.costMicroUsd;
      await append({ kind: 'result', ...result });
    },
    async close() {
      await last.catch(() => {});
      await handle.close();
      lock.release();
    },
  };
};

const parseLines = (text: string, file: string): { lines: Line[]; wholeBytes: number } => {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const lines = whole
    .split('\n')
    .slice(0, -1)
    .map((line, at): Line => {
      try {
        return JSON.parse(line) as Line;
      } catch (error) {
        throw new SuiteError(`${file}:${at + 1} is damaged`, { cause: error });
      }
    });
  return { lines, wholeBytes: Buffer.byteLength(whole) };
};

import type { Bundle } from '../policy/bundle.ts';
import type { ListedPrices } from './catalogue-prices.ts';
import type { DecisionRange, DecisionSource } from './decision-source.ts';
import { ROW, type RowBatch, TAKE } from './limit-rows.ts';
import { BothLimits, type LimitEffect, type LimitList, listOf, type PreparedList } from './limit-simulation.ts';
import { idHash, recordHead } from './record-head.ts';
import { addTally, newTally, type Tally } from './tally.ts';
import { openThreads, type Threads } from './threads.ts';
import type { Round } from './worker-messages.ts';

/** A bundle as a file and unpacked, verified by the caller. */
export interface LoadedBundle {
  readonly packed: Uint8Array;
  readonly bundle: Bundle;
}

/** What to replay, under what. */
export interface ReplayOptions {
  readonly source: DecisionSource;
  readonly range: DecisionRange;
  /** The serving bundle. */
  readonly before: LoadedBundle;
  /** The candidate; undefined when only prices differ. */
  readonly after: LoadedBundle | undefined;
  /** Prices in the place of the candidate's own, by model. */
  readonly prices?: Readonly<Record<string, ListedPrices>> | undefined;
  /** Never takes a serving decision from the record. */
  readonly reExecute?: boolean;
  readonly org?: string | undefined;
  /** Share of the decisions, above 0 to 1; which ones is the same in every run. */
  readonly sample?: number;
  readonly threads: number;
  readonly onProgress?: ((records: number) => void) | undefined;
}

/** All that a replay has counted. */
export interface Replayed {
  readonly tally: Tally;
  /** Undefined for a sample: limits need every request. */
  readonly limits: LimitEffect | undefined;
  /** Records read, of the kinds that tell of decisions. */
  readonly records: number;
  /** CPU time of the worker threads, microseconds. */
  readonly cpuUs: number;
}

/** A round ends at this many records or bytes. The split must not depend on the number of threads. */
const ROUND_RECORDS = 4096;
const ROUND_BYTES = 16 * 1024 * 1024;
/** Rounds that are on their way to the threads: one to work on, one to go on with. */
const ROUNDS_AHEAD = 2;

/**
 * Decides every logged decision of a source under both bundles and counts what differs. The same for any number of
 * threads. Throws what the source throws (AuditCorruptionError), and an Error for a bundle that cannot decide.
 */
export const replay = async (options: ReplayOptions): Promise<Replayed> => {
  const { before, after = before, sample = 1, range } = options;
  const withLimits = sample === 1;
  const threads = await openThreads(options.threads, {
    before: before.packed,
    after: after.packed,
    isSamePolicy: options.after === undefined,
    prices: options.prices,
    reExecute: options.reExecute === true,
    range,
    org: options.org,
    withLimits,
  });
  try {
    const limits = withLimits ? new LimitPlayer(threads.count) : undefined;
    const records = await feed(threads, options, limits);
    const { tallies, cpuUs } = await threads.finish();
    const tally = newTally();
    for (const each of tallies) addTally(tally, each);
    return { tally, limits: limits?.effect, records, cpuUs };
  } finally {
    await threads.close();
  }
};

/** Reads the source and deals its records out to the threads. Gives their number. */
const feed = async (threads: Threads, options: ReplayOptions, limits: LimitPlayer | undefined): Promise<number> => {
  const { source, range, sample = 1, onProgress } = options;
  const { sinceMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY } = range;
  const underWay: Promise<RowBatch[]>[] = [];
  const settle = async (most: number): Promise<void> => {
    while (underWay.length > most) {
      const batches = await (underWay.shift() as Promise<RowBatch[]>);
      limits?.play(batches);
    }
  };
  let dealer = new Dealer(threads.count, 0);
  let records = 0;
  let clockMs = Number.NEGATIVE_INFINITY;
  let latestMs = Number.NEGATIVE_INFINITY;
  const deal = async (): Promise<void> => {
    const played = threads.play(dealer.rounds(clockMs));
    played.catch(() => undefined); // heard where it is awaited
    underWay.push(played);
    clockMs = latestMs;
    dealer = new Dealer(threads.count, records);
    await settle(ROUNDS_AHEAD);
    onProgress?.(records);
  };
  for await (const batch of source.batches(range)) {
    for (const payload of batch) {
      const head = recordHead(payload);
      // An outcome has the time of its end, so it may lie behind the range; whether it is in it the threads see.
      if (!head || head.timeMs < sinceMs || (head.kind === 'intent' && head.timeMs >= untilMs)) continue;
      latestMs = Math.max(latestMs, head.timeMs);
      const hash = idHash(head.id);
      if (sample < 1 && hash / 2 ** 32 >= sample) continue;
      dealer.add(hash % threads.count, payload, records++);
      if (dealer.isFull) await deal();
    }
  }
  await deal();
  await settle(0);
  return records;
};

/** Collects the records of one round, by thread. */
class Dealer {
  readonly #hands: { bytes: Buffer; used: number; lengths: number[]; indexes: number[] }[];
  readonly #firstIndex: number;
  #records = 0;
  #bytes = 0;

  constructor(threads: number, firstIndex: number) {
    this.#hands = Array.from({ length: threads }, () => ({
      bytes: Buffer.allocUnsafeSlow(256 * 1024),
      used: 0,
      lengths: [],
      indexes: [],
    }));
    this.#firstIndex = firstIndex;
  }

  get isFull(): boolean {
    return this.#records >= ROUND_RECORDS || this.#bytes >= ROUND_BYTES;
  }

  add(thread: number, payload: Buffer | string, index: number): void {
    const hand = this.#hands[thread]!;
    const length = Buffer.byteLength(payload);
    if (hand.bytes.length - hand.used < length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(hand.bytes.length * 2, hand.used + length));
      hand.bytes.copy(grown, 0, 0, hand.used);
      hand.bytes = grown;
    }
    if (typeof payload === 'string') hand.bytes.write(payload, hand.used);
    else payload.copy(hand.bytes, hand.used);
    hand.used += length;
    hand.lengths.push(length);
    hand.indexes.push(index);
    this.#records++;
    this.#bytes += length;
  }

  rounds(clockMs: number): Round[] {
    return this.#hands.map(({ bytes, used, lengths, indexes }) => ({
      round: this.#firstIndex,
      bytes: new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, used),
      lengths: Uint32Array.from(lengths),
      indexes: Float64Array.from(indexes),
      clockMs,
      firstIndex: this.#firstIndex,
    }));
  }
}

/** Plays the threads' rows through the limits, in the order of the log. */
class LimitPlayer {
  readonly #limits = new BothLimits();
  /** By thread, its lists by their numbers. */
  readonly #lists: PreparedList[][];

  constructor(threads: number) {
    this.#lists = Array.from({ length: threads }, () => []);
  }

  get effect(): LimitEffect {
    return this.#limits.effect;
  }

  /** One round: a batch a thread. */
  play(batches: readonly RowBatch[]): void {
    batches.forEach(({ lists }, thread) => {
      for (const list of lists) this.#lists[thread]!.push(this.#limits.prepare(JSON.parse(list) as LimitList));
    });
    const openings = batches.flatMap((batch) => batch.openings).sort((a, b) => a.index - b.index);
    for (const { key, microUsd } of openings) this.#limits.open(key, microUsd);
    const at = batches.map(() => 0);
    for (;;) {
      let next = -1;
      batches.forEach(({ rows }, thread) => {
        const row = at[thread]!;
        if (row < rows.length && (next < 0 || rows[row]! < batches[next]!.rows[at[next]!]!)) next = thread;
      });
      if (next < 0) return;
      this.#row(batches[next]!.rows, at[next]!, next);
      at[next]! += ROW;
    }
  }

  #row(rows: Float64Array, at: number, thread: number): void {
    const of = (column: number): number => rows[at + column]!;
    if (of(1) !== TAKE) {
      this.#limits.settle(of(2), of(3), of(4), of(5));
      return;
    }
    const lists = this.#lists[thread]!;
    const [before, after] = [listOf(lists, of(3)), listOf(lists, of(4))];
    if (!before && !after) return;
    const take = { id: of(0), timeMs: of(2), before, after, tokens: of(5), boundBefore: of(6), boundAfter: of(7) };
    this.#limits.take(take);
  }
}

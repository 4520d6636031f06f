/** Requests that wait to be decided a second time: few, since each holds its input. */
const MAX_WAITING = 256;
const SLOT_MS = 50;
const SLOTS = 20;

/** Work beside the requests' way, within a share of the processor. */
export interface ComparisonQueue<T> {
  /** Takes an item, or skips it when there is too much already. An urgent one is skipped only when the queue is full. */
  offer(item: T, isUrgent: boolean): void;
  /** Forgets what waits. */
  close(): void;
}

export interface ComparisonQueueOptions<T> {
  /** Share of one processor, measured over the last second. */
  readonly cpuShare: number;
  /** Does the work; gives the milliseconds to book beside those it took. Never throws. */
  readonly run: (item: T) => number;
  readonly onSkipped: () => void;
  /** Milliseconds. Default: performance.now. */
  readonly clock?: () => number;
}

/** An empty queue. One item is worked on between two turns of the event loop, so that requests come first. */
export const createComparisonQueue = <T>(options: ComparisonQueueOptions<T>): ComparisonQueue<T> => {
  const { cpuShare, run, onSkipped, clock = () => performance.now() } = options;
  const spent = createSpending(clock);
  const waiting: { item: T; isUrgent: boolean }[] = [];
  const mayRun = (isUrgent: boolean): boolean => isUrgent || spent.lastSecondMs() < cpuShare * 1000;
  let turn: NodeJS.Immediate | undefined;
  const next = (): void => {
    turn = undefined;
    const entry = waiting.shift();
    if (entry === undefined) return;
    if (mayRun(entry.isUrgent)) {
      const started = clock();
      const extraMs = run(entry.item);
      spent.add(clock() - started + extraMs);
    } else onSkipped();
    if (waiting.length > 0) turn = setImmediate(next);
  };
  return {
    offer(item, isUrgent) {
      if (waiting.length >= MAX_WAITING || !mayRun(isUrgent)) {
        onSkipped();
        return;
      }
      waiting.push({ item, isUrgent });
      turn ??= setImmediate(next);
    },
    close() {
      clearImmediate(turn);
      turn = undefined;
      waiting.length = 0;
    },
  };
};

/** Milliseconds booked within the last second, in slots. */
const createSpending = (clock: () => number): { add(ms: number): void; lastSecondMs(): number } => {
  const slots = Array.from({ length: SLOTS + 1 }, () => ({ at: -1, ms: 0 }));
  return {
    add(ms) {
      const at = Math.floor(clock() / SLOT_MS);
      const slot = slots[at % slots.length] as { at: number; ms: number };
      if (slot.at !== at) Object.assign(slot, { at, ms: 0 });
      slot.ms += ms;
    },
    lastSecondMs() {
      const at = Math.floor(clock() / SLOT_MS);
      return slots.reduce((sum, slot) => (slot.at >= at - SLOTS ? sum + slot.ms : sum), 0);
    },
  };
};

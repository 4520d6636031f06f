import { newTally, sumReadings, type Tally } from './readings.ts';
import type { Readings } from './rollout-state.ts';

const SLOTS = 60;

/** A sliding window of readings, in slots: what is older than the window is forgotten slot by slot. */
export interface ReadingsWindow {
  /** Where to add what happens now. Not to be kept. */
  now(): Tally;
  sum(): Readings;
}

/** An empty window. `clock` gives milliseconds. */
export const createReadingsWindow = (windowMs: number, clock: () => number): ReadingsWindow => {
  const slotMs = windowMs / SLOTS;
  const slots = new Array<{ at: number; tally: Tally } | undefined>(SLOTS).fill(undefined);
  const present = (): number => Math.floor(clock() / slotMs);
  return {
    now() {
      const at = present();
      let slot = slots[at % SLOTS];
      if (slot?.at !== at) {
        slot = { at, tally: newTally() };
        slots[at % SLOTS] = slot;
      }
      return slot.tally;
    },
    sum() {
      const at = present();
      // The newest first: their examples are the ones that an operator still finds.
      const inside = slots.filter((slot) => slot !== undefined).filter((slot) => slot.at > at - SLOTS && slot.at <= at);
      return sumReadings(inside.sort((a, b) => b.at - a.at).map(({ tally }) => tally));
    },
  };
};

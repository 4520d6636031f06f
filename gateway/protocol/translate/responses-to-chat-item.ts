import type { Json } from '../fields.ts';

/** Says an event: its type, and its members without the sequence number. */
export type Emit = (type: string, members: Json) => void;

/** How an item ends: cut, or by itself. */
export type ItemStatus = 'completed' | 'incomplete';

/** An item of the output that is being said. */
export interface OpenItem {
  /** Its place in the output. */
  readonly index: number;
  /** Says that it has ended and gives the whole item. */
  close(status: ItemStatus): Json;
}

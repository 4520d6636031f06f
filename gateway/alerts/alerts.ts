import { randomUUID } from 'node:crypto';
import type { Decision } from '../types.gen.ts';

/** Tells the operator, by a webhook, what needs a person. Nothing here waits, and nothing throws. */
export interface Alerts {
  /**
   * A request of this organisation has been charged to these budgets, which are looked at within a second or two. One
   * that a budget refused tells what it might have cost, micro-USD.
   */
  charged(org: string, budgets: Decision['budgets'], refusedMicroUsd?: number): void;
  /** A key of an upstream, by its place in the config, rests because its account is out of money. */
  outOfMoney(upstream: string, key: number, restMs: number): void;
  /** Stops. What is in the store and was not delivered is, by the next gateway on it. */
  close(): Promise<void>;
}

/** What is posted. */
export interface Alert {
  /** The same as `webhook-id`: an alert keeps it, however often it comes. */
  readonly id: string;
  /** Of alerts with the same one, only the first is kept, whichever gateway made it. */
  readonly dedupe: string;
  /** The JSON that is posted; its members are told in docs/operations.md. */
  readonly body: string;
}

/** Makes an alert. `type`, `id` and `time` come first in its body. */
export const createAlert = (
  type: string,
  dedupe: string,
  members: Readonly<Record<string, unknown>>,
  now: number,
): Alert => {
  const id = `alert_${randomUUID().replaceAll('-', '')}`;
  return { id, dedupe, body: JSON.stringify({ type, id, time: new Date(now).toISOString(), ...members }) };
};

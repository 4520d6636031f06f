import type { Alert } from './alerts.ts';

/** Alerts that wait to be delivered, in the store that gateways share. */
export interface AlertOutbox {
  /** Keeps those whose `dedupe` is new; the others are known. Resolves when it is durable. */
  add(alerts: readonly Alert[], now: number): Promise<void>;
  /** Takes alerts that are due, for `leaseMs`: no other gateway has them until then. `attempts` includes this one. */
  claim(now: number, leaseMs: number, limit: number): Promise<ClaimedAlert[]>;
  /** Ends a claim: delivered, given up, or due again. */
  settle(id: string, how: 'delivered' | 'failed' | { readonly dueMs: number }): Promise<void>;
  /** Forgets what was ended before a time. */
  prune(beforeMs: number): Promise<void>;
}

export interface ClaimedAlert {
  readonly id: string;
  readonly body: string;
  readonly attempts: number;
}

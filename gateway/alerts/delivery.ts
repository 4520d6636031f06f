import type { AlertOutbox } from './outbox.ts';
import type { Webhook } from './webhook.ts';

/** Words for a log. */
export interface AlertLogger {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** After each failed attempt, until the next. Some fifteen hours together; then an alert is given up. */
export const RETRIES_MS: readonly number[] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800].map(
  (seconds) => seconds * 1_000,
);
/** Nobody else takes an alert while an attempt may be under way. */
const LEASE_MS = 60_000;
/** Claimed and posted together, so that a receiver that hangs holds up few. */
const AT_ONCE = 4;

/** Posts what is due, once through. Resolves when nothing is due any more; rejects when the store fails. */
export const deliverDue = async (
  outbox: AlertOutbox,
  webhook: Webhook,
  log: AlertLogger,
  retriesMs: readonly number[],
  isClosing: () => boolean,
): Promise<void> => {
  while (!isClosing()) {
    const claimed = await outbox.claim(Date.now(), LEASE_MS, AT_ONCE);
    if (claimed.length === 0) return;
    await Promise.all(
      claimed.map(async ({ id, body, attempts }) => {
        const why = await webhook.post(id, body);
        if (why === null) return await outbox.settle(id, 'delivered');
        // An attempt that the stop cut short is the next gateway's, at the end of the claim.
        if (isClosing()) return;
        const waitMs = retriesMs[attempts - 1];
        if (waitMs === undefined) {
          log.error({ alert: id, attempts, why }, 'an alert was given up: its webhook does not take it');
          return await outbox.settle(id, 'failed');
        }
        log.warn({ alert: id, attempts, why }, 'an alert was not taken; it is tried again');
        await outbox.settle(id, { dueMs: Date.now() + jittered(waitMs) });
      }),
    );
  }
};

/** Give or take a tenth, so that many do not come back together. */
const jittered = (ms: number): number => Math.round(ms * (0.9 + Math.random() * 0.2));

import { hostname } from 'node:os';
import { type Alert, type Alerts, createAlert } from './alerts.ts';
import { type BudgetWatchOptions, createBudgetWatch } from './budget-watch.ts';
import { type AlertLogger, deliverDue, RETRIES_MS } from './delivery.ts';
import type { AlertOutbox } from './outbox.ts';
import { openWebhook, type WebhookSettings } from './webhook.ts';

export interface AlertsOptions extends BudgetWatchOptions {
  readonly webhook: WebhookSettings;
  readonly outbox: AlertOutbox;
  /** Whether the audit log takes records. */
  readonly isAuditHealthy: () => boolean;
  readonly log: AlertLogger;
  /** What a test may set, and no config. */
  readonly lookMs?: number;
  readonly pollMs?: number;
  readonly timeoutMs?: number;
  readonly retriesMs?: readonly number[];
}

const HOST = hostname();
/** What a stop waits for a delivery under way. */
const CLOSE_MS = 2_000;
/** How often budgets and the audit are looked at. */
const LOOK_MS = 1_000;
/** How often the store is asked for alerts that are due, of this gateway or another. */
const POLL_MS = 5_000;
const HOUR_MS = 3_600_000;
/** Longer than any period of a budget, so that no threshold of one is forgotten and told again. */
const KEPT_MS = 62 * 24 * HOUR_MS;
/** Trouble that cannot be kept in the store is held, a little of it. */
const MAX_HELD = 100;

/**
 * Opens the alerts of a gateway. Trouble that goes on (an account without money, an audit that takes no records) is
 * told once an hour. Throws RangeError on a secret that is none.
 */
export const openAlerts = (options: AlertsOptions): Alerts => {
  const { outbox, log, isAuditHealthy, lookMs = LOOK_MS, pollMs = POLL_MS, retriesMs = RETRIES_MS } = options;
  const webhook = openWebhook(options.webhook, options.timeoutMs);
  const watch = createBudgetWatch(options);
  let isClosing = false;
  let isStoreDown = false;
  let nextPollMs = 0;
  let nextPruneMs = 0;
  let delivering: Promise<void> | undefined;
  /** Trouble on its way into the store, or straight out while that takes nothing: both may be on a disk that is full. */
  let trouble: Alert[] = [];
  const told = new Set<string>();

  const storeFailed = (error: unknown): void => {
    if (!isStoreDown) log.warn({ cause: String(error) }, 'the store takes no alerts; they wait');
    isStoreDown = true;
  };

  const raise = (type: string, parts: readonly (string | number)[], members: Record<string, unknown>): void => {
    const now = Date.now();
    const dedupe = JSON.stringify([type, ...parts, new Date(now).toISOString().slice(0, 13)]);
    if (told.has(dedupe) || trouble.length >= MAX_HELD) return;
    if (!trouble.some((alert) => alert.dedupe === dedupe)) trouble.push(createAlert(type, dedupe, members, now));
  };

  const isTold = (alerts: readonly Alert[]): void => {
    if (told.size > MAX_HELD) told.clear(); // Of hours that are over.
    for (const { dedupe } of alerts) told.add(dedupe);
    trouble = trouble.filter(({ dedupe }) => !told.has(dedupe));
  };

  const postTrouble = async (): Promise<void> => {
    for (const alert of trouble) {
      if (isClosing) return;
      if ((await webhook.post(alert.id, alert.body)) === null) isTold([alert]);
    }
  };

  const look = async (): Promise<void> => {
    const now = Date.now();
    if (!isAuditHealthy()) raise('audit_unavailable', [HOST], { host: HOST });
    const passed = watch.look(now);
    const held = trouble;
    try {
      if (passed.length + held.length > 0) {
        await outbox.add([...passed, ...held], now);
        isTold(held);
        nextPollMs = 0;
        isStoreDown = false;
      }
      watch.known(passed);
    } catch (error) {
      storeFailed(error);
      watch.again();
      await postTrouble();
    }
  };

  const deliver = async (): Promise<void> => {
    const now = Date.now();
    if (now < nextPollMs) return;
    nextPollMs = now + pollMs;
    try {
      await deliverDue(outbox, webhook, log, retriesMs, () => isClosing);
      if (now < nextPruneMs) return;
      nextPruneMs = now + HOUR_MS;
      await outbox.prune(now - KEPT_MS);
    } catch (error) {
      storeFailed(error);
    }
  };

  let looking: Promise<void> | undefined;
  const timer = setInterval(() => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    // A receiver that hangs holds up deliveries, and no look.
    delivering ??= deliver().finally(() => {
      delivering = undefined;
    });
  }, lookMs);
  timer.unref();

  return {
    charged: (org, budgets, refusedMicroUsd = 0) => watch.charged(org, budgets, refusedMicroUsd),
    outOfMoney: (upstream, key, restMs) =>
      raise('provider_spend_limit', [upstream, key], { upstream, key, rest_s: Math.round(restMs / 1000) }),
    async close() {
      if (isClosing) return;
      isClosing = true;
      clearInterval(timer);
      // What is on its way may arrive: cut short, it would come again.
      await Promise.race([delivering, pause(CLOSE_MS)]);
      await webhook.close();
      await delivering;
      await looking;
      await look(); // What was charged last is in the store, for the next gateway to deliver.
    },
  };
};

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });

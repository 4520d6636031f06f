import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Alerts } from '../../gateway/alerts/alerts.ts';
import { type AlertsOptions, openAlerts } from '../../gateway/alerts/open-alerts.ts';
import { signatureOf } from '../../gateway/alerts/webhook.ts';
import { createAlertOutbox } from '../../gateway/store/alert-outbox.ts';
import { type Database, openDatabase } from '../../gateway/store/database.ts';
import type { Decision, Input } from '../../gateway/types.gen.ts';
import { openFakeUpstream } from '../support/fake-upstream.ts';
import { until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';
import { openWebhookReceiver, WEBHOOK_SECRET, type WebhookReceiver } from '../support/webhook-receiver.ts';

test('a signature is that of Standard Webhooks’ own example', () => {
  const secret = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
  const body = '{"test": 2432232314}';
  expect(signatureOf(secret, 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body)).toBe(
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  );
});

const STORES = [
  { name: 'SQLite', without: undefined as string | undefined },
  { name: 'Postgres', without: whyNoPostgres() },
];

type Entry = Input['spend'][number];

for (const { name, without } of STORES) {
  (without ? describe.skip : describe)(`alerts on ${name}${without ? ` (${without})` : ''}`, () => {
    let postgres: TestPostgres | undefined;
    let home: string;
    let url: string;
    let database: Database;
    let receiver: WebhookReceiver;
    const opened: { close(): Promise<void> }[] = [];
    const logged: string[] = [];
    beforeAll(async () => {
      if (name === 'Postgres') postgres = await openPostgres();
    }, 60_000);
    afterAll(() => postgres?.close());
    beforeEach(async () => {
      home = await mkdtemp(join(tmpdir(), 'aegis-alerts-'));
      url = postgres ? await postgres.createDatabase() : '';
      database = await openDatabase(home, url);
      receiver = await openWebhookReceiver();
      logged.length = 0;
    });
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.close();
      await database.close();
      await receiver.close();
      await rm(home, { recursive: true, force: true });
    });

    /** Budgets as the limiter would tell them, by scope and subject. */
    let books: Entry[] = [];
    const book = (fields: Partial<Entry> = {}): Entry => ({
      scope: 'team',
      subject: 'acme/math',
      period: '2026-11',
      micro_usd: 0,
      reserved_micro_usd: 0,
      cap_micro_usd: 1_000,
      age_ms: 0,
      ...fields,
    });
    const spend: AlertsOptions['spend'] = (subjects) =>
      books.filter((entry) =>
        subjects.some(({ scope, subject }) => scope === entry.scope && subject === entry.subject),
      );
    const log = {
      warn: (fields: object, message: string) => logged.push(`${message} ${JSON.stringify(fields)}`),
      error: (fields: object, message: string) => logged.push(`${message} ${JSON.stringify(fields)}`),
    };
    const open = (options: Partial<AlertsOptions> = {}): Alerts => {
      const alerts = openAlerts({
        webhook: { url: receiver.url, secret: WEBHOOK_SECRET },
        thresholds: [0.5, 0.8, 1],
        outbox: createAlertOutbox(database.db),
        spend,
        isAuditHealthy: () => true,
        log,
        lookMs: 10,
        pollMs: 20,
        timeoutMs: 5_000,
        retriesMs: [20, 20, 20],
        ...options,
      });
      opened.push(alerts);
      return alerts;
    };
    const budgets = (): Decision['budgets'] =>
      books.map(({ scope, subject, cap_micro_usd }) => ({
        scope,
        subject,
        period: 'month',
        timezone: 'UTC',
        micro_usd: cap_micro_usd,
        on_exceed: 'deny',
      }));
    const bodies = (): Record<string, unknown>[] => receiver.deliveries.map(({ body }) => body);
    const arrived = (count: number): Promise<true> =>
      until(() => (receiver.deliveries.length >= count ? (true as const) : undefined));
    /** Time for what must not come: several looks and polls. */
    const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));
    const states = async (): Promise<string[]> =>
      (await database.db.selectFrom('alerts').select('state').execute()).map(({ state }) => state);

    test('a budget that passes thresholds is told once for each, signed, and never below them', async () => {
      const alerts = open();
      books = [book({ micro_usd: 499 })];
      alerts.charged('acme', budgets());
      await quiet();
      expect(receiver.deliveries).toEqual([]);
      books = [book({ micro_usd: 800 })];
      for (let count = 0; count < 5; count++) {
        alerts.charged('acme', budgets());
        await quiet();
      }
      expect(
        bodies()
          .map(({ threshold }) => threshold)
          .sort(),
      ).toEqual([0.5, 0.8]);
      expect(bodies()[0]).toEqual({
        type: 'budget_threshold',
        id: receiver.deliveries[0]!.id,
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        org: 'acme',
        scope: 'team',
        subject: 'acme/math',
        period: '2026-11',
        threshold: expect.any(Number),
        spent_micro_usd: 800,
        cap_micro_usd: 1_000,
      });
      expect(receiver.forged).toEqual([]);
      expect(await states()).toEqual(['delivered', 'delivered']);
    });

    test('each period, scope and subject is a budget of its own', async () => {
      const alerts = open({ thresholds: [0.5] });
      books = [
        book({ micro_usd: 600 }),
        book({ micro_usd: 600, period: '2026-11-24' }),
        book({ micro_usd: 600, scope: 'tag', subject: 'acme/course=CS101' }),
        book({ micro_usd: 600, scope: 'key', subject: 'key_1' }),
        book({ micro_usd: 400, scope: 'org', subject: 'acme' }),
        book({ micro_usd: 600, cap_micro_usd: 0, scope: 'user', subject: 'acme/ann' }),
      ];
      alerts.charged('acme', budgets());
      await arrived(4);
      await quiet();
      expect(
        bodies()
          .map(({ scope, period }) => `${scope} ${period}`)
          .sort(),
      ).toEqual(['key 2026-11', 'tag 2026-11', 'team 2026-11', 'team 2026-11-24']);
      books = [book({ micro_usd: 600, period: '2026-12' })];
      alerts.charged('acme', budgets());
      await arrived(5);
    });

    test('the whole cap counts as passed once a request no longer fits, and the rest has been passed', async () => {
      const alerts = open();
      books = [book({ micro_usd: 700, reserved_micro_usd: 100 })];
      alerts.charged('acme', budgets(), 300);
      await arrived(1);
      await quiet();
      // A request that is too large for a budget with much left says nothing about the budget.
      expect(bodies().map(({ threshold }) => threshold)).toEqual([0.5]);
      books = [book({ micro_usd: 850, reserved_micro_usd: 100 })];
      alerts.charged('acme', budgets(), 20);
      await arrived(2);
      await quiet();
      expect(bodies().map(({ threshold }) => threshold)).toEqual([0.5, 0.8]);
      alerts.charged('acme', budgets(), 51);
      await arrived(3);
      expect(bodies()[2]).toMatchObject({ threshold: 1, spent_micro_usd: 850 });
    });

    test('several gateways on one store, and the next ones, tell a threshold once', async () => {
      const databases = await Promise.all([1, 2, 3].map(() => openDatabase(home, url)));
      books = [book({ micro_usd: 900 })];
      const gateways = databases.map(({ db }) => open({ outbox: createAlertOutbox(db) }));
      for (let turn = 0; turn < 5; turn++) {
        for (const alerts of gateways) alerts.charged('acme', budgets());
        await new Promise((resolve) => setTimeout(resolve, 15));
      }
      await arrived(2);
      await quiet();
      for (const alerts of gateways) await alerts.close();
      const next = open();
      next.charged('acme', budgets());
      await quiet();
      expect(
        bodies()
          .map(({ threshold }) => threshold)
          .sort(),
      ).toEqual([0.5, 0.8]);
      expect(new Set(receiver.deliveries.map(({ id }) => id)).size).toBe(2);
      for (const { close } of databases) await close();
    });

    test('what a receiver does not take comes again with the same id and body, and is given up at last', async () => {
      const alerts = open({ thresholds: [0.5] });
      receiver.answer = (response) => response.writeHead(500).end('no');
      books = [book({ micro_usd: 600 })];
      alerts.charged('acme', budgets());
      await arrived(2);
      receiver.answer = (response) => response.writeHead(204).end();
      await arrived(3);
      await quiet();
      expect(receiver.deliveries).toHaveLength(3);
      expect(new Set(receiver.deliveries.map(({ id, body }) => id + JSON.stringify(body))).size).toBe(1);
      expect(receiver.forged).toEqual([]);

      receiver.answer = (response) => response.writeHead(500).end('no');
      books = [book({ micro_usd: 600, period: '2026-12' })];
      alerts.charged('acme', budgets());
      await until(async () => ((await states()).includes('failed') ? true : undefined));
      expect(receiver.deliveries).toHaveLength(3 + 4);
      await quiet();
      expect(receiver.deliveries).toHaveLength(3 + 4);
      expect(logged.some((line) => line.startsWith('an alert was given up'))).toBe(true);
      expect(logged.join()).not.toMatch(/whsec_|127\.0\.0\.1|acme/);
    });

    test('a receiver that hangs, breaks off or sends elsewhere has not taken it', async () => {
      const elsewhere = await openFakeUpstream();
      opened.push(elsewhere);
      const alerts = open({ thresholds: [0.5], timeoutMs: 200 });
      const ways: ((response: Parameters<WebhookReceiver['answer']>[0]) => void)[] = [
        () => {},
        (response) => response.destroy(),
        (response) => response.writeHead(307, { location: elsewhere.url }).end(),
      ];
      receiver.answer = (response) => (ways.shift() ?? ((last) => last.writeHead(200).end('ok')))(response);
      books = [book({ micro_usd: 600 })];
      alerts.charged('acme', budgets());
      await until(async () => ((await states())[0] === 'delivered' ? true : undefined));
      expect(receiver.deliveries).toHaveLength(4);
      expect(elsewhere.requests).toEqual([]);
    });

    test('a receiver that hangs holds up neither charges nor the stop, and the next gateway delivers', async () => {
      const alerts = open({ thresholds: [0.5], timeoutMs: 60_000 });
      receiver.answer = () => {};
      books = [book({ micro_usd: 600 })];
      alerts.charged('acme', budgets());
      await arrived(1);
      books = [book({ micro_usd: 600, period: '2026-12' })];
      alerts.charged('acme', budgets());
      await until(async () => ((await states()).length === 2 ? true : undefined));
      const start = performance.now();
      await alerts.close();
      expect(performance.now() - start).toBeLessThan(10_000);
      receiver.answer = (response) => response.writeHead(204).end();
      const before = receiver.deliveries.length;
      open({ thresholds: [0.5] });
      await arrived(before + 1);
      expect(bodies().at(-1)).toMatchObject({ period: '2026-12' });
    });

    test('an alert that waits when a gateway stops is delivered by the next', async () => {
      const dead = open({ thresholds: [0.5], webhook: { url: 'http://127.0.0.1:1/', secret: WEBHOOK_SECRET } });
      books = [book({ micro_usd: 600 })];
      dead.charged('acme', budgets());
      await dead.close();
      expect(await states()).toEqual(['due']);
      open({ thresholds: [0.5] });
      await arrived(1);
    });

    test('an account without money is told once an hour, and each key is one', async () => {
      const alerts = open();
      for (let count = 0; count < 5; count++) alerts.outOfMoney('openai', 1, 60_000);
      await quiet();
      for (let count = 0; count < 5; count++) alerts.outOfMoney('openai', 1, 120_000);
      alerts.outOfMoney('openai', 0, 60_000);
      await arrived(2);
      await quiet();
      expect(bodies()).toMatchObject([
        { type: 'provider_spend_limit', upstream: 'openai', key: 1, rest_s: 60 },
        { type: 'provider_spend_limit', upstream: 'openai', key: 0 },
      ]);
    });

    test('an audit that takes no records is told, even while the store takes nothing either', async () => {
      const broken = createAlertOutbox(database.db);
      let isDown = true;
      const outbox = {
        ...broken,
        add: (...args: Parameters<typeof broken.add>) =>
          isDown ? Promise.reject(new Error('the disk is full')) : broken.add(...args),
      };
      const alerts = open({ outbox, isAuditHealthy: () => false });
      await arrived(1);
      await quiet();
      expect(bodies()).toMatchObject([{ type: 'audit_unavailable', host: expect.any(String) }]);
      // What a budget passed meanwhile waits for the store.
      books = [book({ micro_usd: 600 })];
      alerts.charged('acme', budgets());
      await quiet();
      expect(receiver.deliveries).toHaveLength(1);
      isDown = false;
      await arrived(2);
      await quiet();
      expect(bodies().map(({ type }) => type)).toEqual(['audit_unavailable', 'budget_threshold']);
      expect(logged.filter((line) => line.startsWith('the store takes no alerts'))).toHaveLength(1);
    });

    test('delivered alerts are kept for longer than a month, then forgotten', async () => {
      const outbox = createAlertOutbox(database.db);
      await outbox.add([{ id: 'a', dedupe: 'a', body: '{}' }], 1_000);
      await outbox.add([{ id: 'b', dedupe: 'b', body: '{}' }], 1_000);
      await outbox.add([{ id: 'c', dedupe: 'a', body: '{}' }], 2_000);
      await outbox.settle('a', 'delivered');
      await outbox.prune(1_000);
      expect(await states()).toHaveLength(2);
      await outbox.prune(1_001);
      expect(await states()).toEqual(['due']);
    });
  });
}

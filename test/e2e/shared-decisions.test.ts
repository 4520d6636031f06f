import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { replayCommand } from '../../gateway/cli/replay.ts';
import { createAuditSource } from '../../gateway/replay/audit-source.ts';
import type { DecisionRange, DecisionSource } from '../../gateway/replay/decision-source.ts';
import { createStoreSource } from '../../gateway/replay/store-source.ts';
import { type Database, openDatabase } from '../../gateway/store/database.ts';
import { type DecisionRecord, findDecisionRecord } from '../../gateway/store/decision-records.ts';
import { queryUsage } from '../../gateway/store/usage.ts';
import type { AuditRecord } from '../../gateway/types.gen.ts';
import { chatCompletion } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { CHAT_MODEL, openTestGateway, ROOT, recordsOf, type TestGateway, until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';
import { runCommand } from '../support/run-command.ts';

// Gateways that keep decisions in one Postgres. What the store does by itself is in test/contract/decision-records.test.ts.

const without = whyNoPostgres();
const describeOrSkip = without === undefined ? describe : describe.skip;
const EVER = { firstDay: '2020-01-01', lastDay: '2100-01-01' };
const ALWAYS: DecisionRange = { sinceMs: undefined, untilMs: undefined };
const SECRET_WORD = 'xylophone';

describeOrSkip(`decisions of gateways on one Postgres${without === undefined ? '' : ` (${without})`}`, () => {
  let postgres: TestPostgres;
  let folder: string;
  let url: string;
  let store: Database;
  const gateways: TestGateway[] = [];
  beforeAll(async () => {
    postgres = await openPostgres();
  });
  afterAll(() => postgres.close());
  beforeEach(async () => {
    url = await postgres.createDatabase();
    folder = await mkdtemp(join(tmpdir(), 'aegis-shared-decisions-'));
    store = await openDatabase(folder, url);
  });
  afterEach(async () => {
    await postgres.start();
    for (const gateway of gateways.splice(0)) await gateway.close();
    await store.close();
    await rm(folder, { recursive: true });
  });

  const open = async (name: string, decisionsDays = 30): Promise<TestGateway> => {
    const home = join(folder, name);
    await mkdir(home, { mode: 0o700 });
    await writeFile(join(home, 'pepper'), Buffer.alloc(32, 7), { mode: 0o600 });
    const gateway = await openTestGateway({ home, config: { store: { url, decisions_days: decisionsDays } } });
    gateway.openai.play = answerJson(200, chatCompletion(`The ${SECRET_WORD} answer.`));
    gateways.push(gateway);
    return gateway;
  };
  const ask = async (gateway: TestGateway, model: string = CHAT_MODEL): Promise<{ status: number; id: string }> => {
    const messages = [{ role: 'user', content: `Tell me of the ${SECRET_WORD}.` }];
    const answer = await gateway.chat({ model, messages });
    await answer.arrayBuffer();
    return { status: answer.status, id: answer.headers.get('x-aegis-decision-id') as string };
  };
  const found = (id: string, isWhole: (record: DecisionRecord) => boolean): Promise<DecisionRecord> =>
    until(async () => {
      const record = await findDecisionRecord(store.db, id);
      return record && isWhole(record) ? record : undefined;
    }, 20_000);
  /** Waits until so many decisions are in the store, with their outcomes. */
  const keptWhole = (count: number): Promise<true> =>
    until(async () => {
      const { whole } = await store.db
        .selectFrom('decisions')
        .where('outcome', 'is not', null)
        .select((eb) => eb.fn.countAll<number>().as('whole'))
        .executeTakeFirstOrThrow();
      return Number(whole) === count ? true : undefined;
    }, 20_000);
  const hasOutcome = ({ outcome }: DecisionRecord): boolean => outcome !== null;
  const recordIn = async (gateway: TestGateway, id: string, kind: 'intent' | 'outcome') =>
    (await recordsOf(gateway.home)).find((record) => record.kind === kind && record.id === id) ?? null;

  test('what one gateway decided the store tells of, let through or denied, and no prompt or answer is in it', async () => {
    const [one, two] = [await open('one'), await open('two')];
    const allowed = await ask(one);
    const denied = await ask(two, 'gpt-6-astra');
    expect([allowed.status, denied.status]).toEqual([200, 403]);
    expect(await found(allowed.id, hasOutcome)).toEqual({
      id: allowed.id,
      intent: await recordIn(one, allowed.id, 'intent'),
      outcome: await recordIn(one, allowed.id, 'outcome'),
    });
    const refusal = await found(denied.id, hasOutcome);
    expect(refusal).toEqual({ id: denied.id, intent: null, outcome: await recordIn(two, denied.id, 'outcome') });
    expect(refusal.outcome?.decision).toMatchObject({ allow: false });
    const rows = await store.db.selectFrom('decisions').selectAll().execute();
    expect(rows.map(({ org }) => org)).toEqual(['demo-university', 'demo-university']);
    expect(JSON.stringify(rows)).not.toContain(SECRET_WORD);
  });

  test('the control plane of one gateway tells of a decision that another made', async () => {
    const [one, two] = [await open('one'), await open('two')];
    const { id } = await ask(one, 'gpt-6-astra');
    const admin = { org: 'demo-university', team: '', user: 'ada', roles: ['admin'], groups: [], workflows: [] };
    const headers = { authorization: `Bearer ${await two.keyFor(admin)}` };
    const told = await until(async () => {
      const answer = await fetch(`${two.running.adminUrl}/admin/v1/decisions/${id}`, { headers });
      const body = (await answer.json()) as Record<string, unknown>;
      return answer.status === 200 ? body : undefined;
    }, 20_000);
    expect(told).toMatchObject({ id, source: 'store', outcome: 'denied' });
    expect(JSON.stringify(told)).toMatch(/models\.model_not_allowed.*policies\/rules\/models\/models\.rego/);
  }, 60_000);

  test('each gateway decides whether its own are kept', async () => {
    const [keeps, keepsNot] = [await open('one'), await open('two', 0)];
    const [kept, not] = [await ask(keeps), await ask(keepsNot)];
    await found(kept.id, hasOutcome);
    await until(async () => ((await queryUsage(store.db, [], EVER)).total.requests === 2 ? true : undefined), 20_000);
    expect(await findDecisionRecord(store.db, not.id)).toBeUndefined();
  });

  test('decisions made while Postgres is away are there when it is back', async () => {
    const gateway = await open('one');
    expect((await ask(gateway)).status).toBe(200);
    await postgres.stop('crash');
    const meanwhile = await Promise.all(Array.from({ length: 20 }, () => ask(gateway)));
    await postgres.start();
    for (const { id } of meanwhile) expect(await found(id, hasOutcome)).toMatchObject({ id });
  }, 60_000);

  test('`aegis replay --store` says of the store what `aegis replay` says of the log', async () => {
    const gateway = await open('one');
    for (let i = 0; i < 8; i++) await ask(gateway, i % 4 ? CHAT_MODEL : 'gpt-6-astra');
    await keptWhole(8);
    const config = join(folder, 'aegis.yaml');
    await writeFile(
      config,
      `home: ${gateway.home}\nstore: { url: "${url}" }\nupstreams: [{ name: openai, kind: sandbox }]\n`,
    );
    // Twice the price of what all of them were answered by.
    const prices = join(folder, 'prices.yaml');
    const models = await readFile(join(ROOT, 'policies/models/data.yaml'), 'utf8');
    await writeFile(
      prices,
      models.replace('{ input: 0.2, cache_read: 0.02, output: 1.25 }', '{ input: 0.4, cache_read: 0.04, output: 2.5 }'),
    );
    const replay = async (...flags: string[]): Promise<Record<string, unknown>> =>
      JSON.parse(await runCommand(replayCommand(), '--prices', prices, '--no-guards', '--json', ...flags));
    const fromLog = await replay('--home', gateway.home);
    const fromStore = await replay('--store', '--config', config);
    expect(fromStore).toEqual({ ...fromLog, source: 'the Postgres of store.url' });
    const { decisions, cost } = fromLog as {
      decisions: unknown;
      cost: Record<'before_micro_usd' | 'after_micro_usd', number>;
    };
    expect(decisions).toMatchObject({ total: 8, allowed: { before: 6, after: 6 }, under_way: 0 });
    expect(cost.after_micro_usd).toBeGreaterThan(cost.before_micro_usd);
    const none = await postgres.createDatabase();
    await writeFile(
      config,
      `home: ${gateway.home}\nstore: { url: "${none}" }\nupstreams: [{ name: openai, kind: sandbox }]\n`,
    );
    await expect(replay('--store', '--config', config)).rejects.toThrow('store.decisions_days');
  });

  test('a replay of the store reads what a replay of all logs reads', async () => {
    const [one, two] = [await open('one'), await open('two')];
    for (let i = 0; i < 12; i++) await ask(i % 3 ? one : two, i % 4 ? CHAT_MODEL : 'gpt-6-astra');
    await keptWhole(12);
    const read = async (source: DecisionSource): Promise<AuditRecord[]> => {
      const records: AuditRecord[] = [];
      for await (const batch of source.batches(ALWAYS))
        records.push(...batch.map((text) => JSON.parse(text.toString()) as AuditRecord));
      return records;
    };
    const fromStore = await read(createStoreSource(store.db, 'the store'));
    const fromLogs = await read(createAuditSource([one.home, two.home]));
    expect(fromStore).toHaveLength(12 + 9);
    expect(fromStore).toEqual(fromLogs);
  });
});

import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { bucketOf } from '../../gateway/bucket.ts';
import { drawOf, isDrawn } from '../../gateway/policy/draw.ts';
import type { ReplicaReport } from '../../gateway/policy/rollout-state.ts';
import { openDatabase } from '../../gateway/store/database.ts';
import { createRolloutStore } from '../../gateway/store/rollout-store.ts';
import type { AuditRecord, Rollout } from '../../gateway/types.gen.ts';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { boundless } from '../support/cluster.ts';
import { answerJson, openFakeUpstream, type Play } from '../support/fake-upstream.ts';
import { openaiAt, openTestGateway, PEOPLE, type TestGateway, until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';

/** What the whole way back may take, from the breach to the last gateway. */
const BACK_MS = 5_000;

let bundles: TestBundles;
/** Revisions by what the bundle does. */
const revisions: Record<string, string> = {};
const tiers = { 'tiers/data.yaml': boundless };
const frame = (from: string, to: string) => ({
  'aegis/decision.rego': (text: string) => text.replace(from, to),
});

/** Candidates by what is wrong with them. */
const CANDIDATES = {
  good: { 'models/data.yaml': (text: string) => text.replace('title: GPT-5.4 nano', 'title: GPT-5.4 Nano') },
  strict: {
    'roles/data.yaml': (text: string) =>
      text.replace('classes: { cheap: true, strong: true }', 'classes: { strong: true }'),
  },
  dear: {
    'models/data.yaml': (text: string) =>
      text.replace('{ input: 0.2, cache_read: 0.02, output: 1.25 }', '{ input: 0.4, cache_read: 0.04, output: 2.5 }'),
  },
  failing: {
    'models/data.yaml': (text: string) =>
      text.replace('upstreams: { openai: gpt-5.4-nano }', 'upstreams: { openai: gpt-5.4-nano-broken }'),
  },
  slow: {
    'aegis/decision.rego': (text: string) =>
      `${text.replace('"cache": null,', '"cache": slow,')}
slow := null if count([n | some n in numbers.range(1, 10000); n % 7 == 0]) > 0
`,
  },
  // No decision for whoever is odd.
  odd: frame('"allow": allow,', '"allow": [allow, "broken"][to_number(startswith(input.caller.user, "odd"))],'),
};
type Kind = keyof typeof CANDIDATES;

beforeAll(async () => {
  bundles = await openTestBundles();
  revisions.stable = await bundles.build('stable.tar.gz', tiers);
  for (const [kind, edits] of Object.entries(CANDIDATES)) {
    revisions[kind] = await bundles.build(`${kind}.tar.gz`, { ...tiers, ...edits });
  }
}, 120_000);
afterAll(async () => {
  await bundles.remove();
});

const desire = (kind: Kind | null, rollout: Omit<Rollout, 'stable' | 'candidate'> = {}): Promise<void> =>
  bundles.desire({
    stable: 'stable.tar.gz',
    ...(kind && { candidate: `${kind}.tar.gz`, compare_cpu_share: 1, hold_s: 3_600, ...rollout }),
  });

const answerWell = answerJson(200, chatCompletion('Hi.'));
const answerNonsense: Play = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end('no JSON');
};

const openHere = async (home: string, storeUrl?: string): Promise<TestGateway> => {
  const openai = await openFakeUpstream(async (request, response) => {
    const isBroken = request.body.includes('gpt-5.4-nano-broken');
    await (isBroken ? answerNonsense : answerWell)(request, response);
  });
  const gateway = await openTestGateway({
    home,
    upstreams: [openaiAt(openai)],
    config: { ...bundles.config, ...(storeUrl && { store: { url: storeUrl } }) },
  });
  return {
    ...gateway,
    async close() {
      await gateway.close();
      await openai.close();
    },
  };
};

const revisionOf = (answer: Response): string | null => answer.headers.get('x-aegis-policy-revision');
const stageOf = ({ running }: TestGateway) =>
  (running.gateway.policies as unknown as { rollout(): { stage: string | null; percent: number } }).rollout();
const inStage = (gateway: TestGateway, stage: string | null): Promise<true> =>
  until(() => (stageOf(gateway).stage === stage ? true : undefined), 20_000);
const eventsOf = async (gateway: TestGateway, name: string): Promise<AuditRecord[]> =>
  (await gateway.records()).filter((record) => record.kind === 'event' && record.event === name);

/** Asks as often, a few at a time; gives the answers in order, read to their end. */
const ask = async (gateway: TestGateway, count: number, key?: string, headers = {}): Promise<Response[]> => {
  const answers: Response[] = [];
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  for (let left = count; left > 0; left -= 5) {
    const some = Array.from({ length: Math.min(5, left) }, () =>
      gateway.chat({}, { headers: { ...authorization, ...headers } }),
    );
    for (const answer of await Promise.all(some)) {
      await answer.arrayBuffer();
      answers.push(answer);
    }
  }
  return answers;
};

describe('a candidate of one gateway', () => {
  let home: string;
  let gateway: TestGateway;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
    await desire(null);
    gateway = await openHere(home);
  }, 60_000);
  afterAll(async () => {
    await gateway.close();
    await rm(home, { recursive: true, force: true });
  });

  const report = async (): Promise<ReplicaReport> => {
    const database = await openDatabase(home);
    try {
      const [only] = await createRolloutStore(database.db).replicas(Date.now(), 10_000);
      return only as ReplicaReport;
    } finally {
      await database.close();
    }
  };

  test('in shadow has no effect, and what it would have done is recorded', async () => {
    await desire('strict', { stage: 'shadow', guards: { max_deny_rate_increase: null } });
    await inStage(gateway, 'shadow');
    const answers = await ask(gateway, 30);
    for (const answer of answers) expect([answer.status, revisionOf(answer)]).toEqual([200, revisions.stable]);
    const { readings, stage, key } = await until(async () => {
      const now = await report();
      return now.readings?.compared.compared === 30 ? now : undefined;
    });
    expect(stage).toBe('shadow');
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(readings).toMatchObject({
      stable: { requests: 30, answers: 30 },
      candidate: { requests: 0 },
      compared: { newlyDenied: 30, skipped: 0 },
    });
    const ids = answers.map((answer) => answer.headers.get('x-aegis-decision-id'));
    for (const id of readings!.compared.examples.newly_denied!) expect(ids).toContain(id);
    const metrics = await (await fetch(`${gateway.running.adminUrl}/metrics`)).text();
    expect(metrics).toContain('aegis_rollout_stage{stage="shadow"} 1');
    expect(metrics).toContain('aegis_rollout_compared_total{kind="newly_denied"} 30');
    expect((await eventsOf(gateway, 'rollout_stage')).at(-1)).toMatchObject({ detail: { stage: 'shadow' } });
  }, 60_000);

  test('in a canary decides its share of the users, each always by the same bundle, and more of them at more', async () => {
    const { digest } = gateway.running.gateway.policies.current!.ref;
    const users = Array.from({ length: 40 }, (_, n) => `user-${n}`);
    const keys = new Map<string, string>();
    for (const user of users) keys.set(user, await gateway.keyFor({ ...PEOPLE.student, user }));
    const expected = (candidate: string, user: string, percent: number): boolean =>
      isDrawn(drawOf(candidate, 'user', percent), {
        ...{ request: 0, session: 0, org: 0 },
        user: bucketOf(`user ${PEOPLE.student.org} ${user}`),
      });
    const before = new Set<string>();
    for (const percent of [30, 60]) {
      await desire('good', { stage: 'canary', percent, by: 'user' });
      await until(() => (stageOf(gateway).percent === percent ? true : undefined), 20_000);
      const candidate = await until(async () => {
        const now = await report();
        return now.percent === percent ? now.candidate?.digest : undefined;
      });
      expect(candidate).not.toBe(digest);
      for (const user of users) {
        const decidedBy = new Set((await ask(gateway, 3, keys.get(user)!)).map(revisionOf));
        const isByCandidate = expected(candidate, user, percent);
        expect([...decidedBy]).toEqual([isByCandidate ? revisions.good : revisions.stable]);
        if (before.has(user)) expect(isByCandidate).toBe(true);
        if (isByCandidate) before.add(user);
      }
      expect(before.size).toBeGreaterThan(0.4 * percent * 0.4);
      expect(before.size).toBeLessThan(40);
    }
  }, 120_000);

  test('in a canary by session keeps a conversation on one side, and by organisation all of it', async () => {
    await desire('good', { stage: 'canary', percent: 50, by: 'session' });
    await until(() => (stageOf(gateway).percent === 50 ? true : undefined), 20_000);
    const sides = new Set<string | null>();
    for (let n = 0; n < 20; n++) {
      const decidedBy = new Set((await ask(gateway, 3, undefined, { 'x-aegis-session': `talk-${n}` })).map(revisionOf));
      expect(decidedBy.size).toBe(1);
      for (const revision of decidedBy) sides.add(revision);
    }
    expect(sides.size).toBe(2);
    await desire('good', { stage: 'canary', percent: 51, by: 'org' });
    await until(() => (stageOf(gateway).percent === 51 ? true : undefined), 20_000);
    const everybody = await Promise.all(
      (['student', 'teacher', 'service'] as const).map((as) => gateway.chat({}, { as })),
    );
    expect(new Set(everybody.map(revisionOf)).size).toBe(1);
  }, 60_000);

  test('in full decides everything, also for the control plane; promoted it goes on as stable', async () => {
    await desire('good', { stage: 'full' });
    await inStage(gateway, 'full');
    for (const answer of await ask(gateway, 10)) expect(revisionOf(answer)).toBe(revisions.good);
    const ready = async () =>
      ((await (await fetch(`${gateway.running.adminUrl}/readyz`)).json()) as { policy: object }).policy;
    expect(await ready()).toMatchObject({ revision: revisions.good });
    const activated = (await eventsOf(gateway, 'bundle_activated')).length;
    expect(JSON.parse(await readFile(join(home, 'policy', 'mark.json'), 'utf8')).sequence).toBe(1_001);
    // Taken out of the file, it is over: no activation, and the mark is where it was.
    await desire(null);
    await inStage(gateway, null);
    expect(await ready()).toMatchObject({ revision: revisions.stable });
    expect(await eventsOf(gateway, 'bundle_activated')).toHaveLength(activated);
  }, 60_000);
});

const noPostgres = whyNoPostgres();
(noPostgres ? describe.skip : describe)(`two gateways on one store${noPostgres ? ` (${noPostgres})` : ''}`, () => {
  let postgres: TestPostgres;
  let storeUrl: string;
  const homes: string[] = [];
  let gateways: TestGateway[] = [];
  beforeAll(async () => {
    postgres = await openPostgres();
    storeUrl = await postgres.createDatabase();
    const pepper = randomBytes(32);
    for (const _ of [1, 2]) {
      const home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
      await writeFile(join(home, 'pepper'), pepper, { mode: 0o600 });
      homes.push(home);
    }
  }, 60_000);
  afterAll(async () => {
    await postgres.close();
    for (const home of homes) await rm(home, { recursive: true, force: true });
  });
  beforeEach(async () => {
    await desire(null);
    // The first makes the tables.
    gateways = [await openHere(homes[0]!, storeUrl)];
    gateways.push(await openHere(homes[1]!, storeUrl));
  }, 60_000);
  afterEach(async () => {
    await postgres.start();
    await Promise.all(gateways.map((gateway) => gateway.close()));
  }, 60_000);

  const inAll = (stage: string | null): Promise<unknown> =>
    Promise.all(gateways.map((gateway) => inStage(gateway, stage)));
  /** Waits until all are back; gives how long it took. */
  const allBack = async (): Promise<number> => {
    const started = performance.now();
    await inAll('rolled_back');
    return performance.now() - started;
  };
  let attempt = 1;
  const breach = async (kind: Kind, rollout: Omit<Rollout, 'stable' | 'candidate'>): Promise<void> => {
    await desire(kind, { attempt: ++attempt, ...rollout });
    await inAll(rollout.stage!);
  };

  test('a candidate that denies too much takes itself back on both within 5 s, says why, and stays back', async () => {
    const rollout = { stage: 'canary', percent: 100, guards: { min_requests: 40 } } as const;
    await breach('strict', rollout);
    // Neither has enough alone.
    const refused = (await Promise.all(gateways.map((gateway) => ask(gateway, 25)))).flat();
    const ids = refused
      .filter(({ status }) => status === 403)
      .map((answer) => answer.headers.get('x-aegis-decision-id'));
    expect(ids.length).toBeGreaterThan(20);
    expect(await allBack()).toBeLessThan(BACK_MS);
    for (const gateway of gateways) {
      for (const answer of await ask(gateway, 5))
        expect([answer.status, revisionOf(answer)]).toEqual([200, revisions.stable]);
      const [event, ...more] = await eventsOf(gateway, 'rollout_rolled_back');
      expect(more).toEqual([]);
      const { detail } = event as unknown as { detail: Record<string, string> };
      expect(detail).toMatchObject({
        guard: 'max_deny_rate_increase',
        reason: expect.stringMatching(/^Of \d+ requests that both bundles decided, the candidate refuses/),
      });
      expect(detail.stable).not.toBe(detail.candidate);
      const named = detail.decision_ids!.split(' ');
      expect(named.length).toBeGreaterThan(0);
      for (const id of named) expect(ids).toContain(id);
    }
    // A restart changes nothing, not even one while the store is away.
    await gateways[0]!.close();
    await postgres.stop();
    gateways[0] = await openHere(homes[0]!, storeUrl);
    expect(stageOf(gateways[0]!).stage).toBe('rolled_back');
    await postgres.start();
    await gateways[1]!.close();
    gateways[1] = await openHere(homes[1]!, storeUrl);
    expect(stageOf(gateways[1]!).stage).toBe('rolled_back');
    // Another attempt is another rollout.
    await breach('strict', { ...rollout, stage: 'shadow' });
  }, 120_000);

  test.each([
    ['failing', 'max_error_rate_increase', { stage: 'canary', percent: 50, by: 'request' }],
    ['dear', 'max_cost_increase', { stage: 'shadow' }],
    ['slow', 'max_evaluation_p99_ms', { stage: 'shadow' }],
  ] as const)(
    'a %s candidate breaches %s',
    async (kind, guard, rollout) => {
      const guards = {
        min_requests: 20,
        max_evaluation_p99_ms: kind === 'slow' ? 1 : null,
        max_deny_rate_increase: null,
      };
      await breach(kind, { ...rollout, guards });
      const asked = Promise.all(gateways.map((gateway) => ask(gateway, 60)));
      expect(await asked.then(allBack)).toBeLessThan(BACK_MS);
      for (const gateway of gateways) {
        const event = (await eventsOf(gateway, 'rollout_rolled_back')).at(-1);
        expect(event).toMatchObject({ detail: { guard, decision_ids: expect.stringMatching(/\S/) } });
        expect((await ask(gateway, 5)).map(revisionOf)).toEqual(Array(5).fill(revisions.stable));
      }
    },
    60_000,
  );

  test('an error of the policy for one caller takes nothing back, for three callers it does', async () => {
    await breach('odd', { stage: 'full' });
    const fail = async (gateway: TestGateway, user: string): Promise<void> => {
      const [answer] = await ask(gateway, 1, await gateway.keyFor({ ...PEOPLE.student, user }));
      expect(answer!.status).toBe(503);
    };
    const [one, two] = gateways as [TestGateway, TestGateway];
    for (let n = 0; n < 5; n++) await fail(one, 'odd-1');
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(gateways.map((gateway) => stageOf(gateway).stage)).toEqual(['full', 'full']);
    await fail(two, 'odd-2');
    await fail(two, 'odd-3');
    expect(await allBack()).toBeLessThan(BACK_MS);
    expect((await eventsOf(one, 'rollout_rolled_back')).at(-1)).toMatchObject({
      detail: { guard: 'max_policy_errors' },
    });
  }, 60_000);

  test('without the store each judges by itself, and tells the other when the store is back', async () => {
    await breach('strict', { stage: 'canary', percent: 100, guards: { min_requests: 20 } });
    const [one, two] = gateways as [TestGateway, TestGateway];
    await one.key();
    await postgres.stop();
    await ask(one, 40);
    await inStage(one, 'rolled_back');
    expect(stageOf(two).stage).toBe('canary');
    await postgres.start();
    await inStage(two, 'rolled_back');
    expect((await eventsOf(two, 'rollout_rolled_back')).at(-1)).toMatchObject({
      detail: { guard: 'max_deny_rate_increase' },
    });
  }, 90_000);

  test('a good candidate goes all its way by itself, on both', async () => {
    await breach('good', {
      stage: 'shadow',
      hold_s: 1,
      guards: { min_requests: 10, max_evaluation_p99_ms: null },
      next: [{ stage: 'canary', percent: 50 }, { stage: 'full' }],
      by: 'request',
    });
    let isOver = false;
    const load = gateways.map(async (gateway) => {
      while (!isOver) for (const { status } of await ask(gateway, 5)) expect(status).toBe(200);
    });
    await inAll('full');
    isOver = true;
    await Promise.all(load);
    for (const gateway of gateways) {
      const stages = (await eventsOf(gateway, 'rollout_stage')).slice(-3);
      expect(stages.map((record) => (record as unknown as { detail: { stage: string } }).detail.stage)).toEqual([
        'shadow',
        'canary',
        'full',
      ]);
    }
  }, 90_000);
});

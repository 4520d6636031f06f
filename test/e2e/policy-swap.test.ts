import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AuditRecord } from '../../gateway/types.gen.ts';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type TestGateway, until } from '../support/gateway.ts';

let bundles: TestBundles;
let home: string;
let gateway: TestGateway;
let firstRevision: string;

const openHere = async (): Promise<TestGateway> => {
  const opened = await openTestGateway({ home, config: bundles.config });
  opened.openai.play = answerJson(200, chatCompletion('Hi.'));
  return opened;
};

beforeAll(async () => {
  bundles = await openTestBundles();
  home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
  firstRevision = await bundles.rollOut();
  gateway = await openHere();
}, 60_000);
afterAll(async () => {
  await gateway.close();
  await bundles.remove();
  await rm(home, { recursive: true, force: true });
});

/** Students may use frontier models. */
const OPEN = {
  'roles/data.yaml': (text: string) =>
    text.replace('classes: { cheap: true, strong: true }', 'classes: { cheap: true, strong: true, frontier: true }'),
};
const ASTRA = { model: 'gpt-6-astra' };

const revisionOf = (answer: Response): string | null => answer.headers.get('x-aegis-policy-revision');
const events = async (name: string): Promise<AuditRecord[]> =>
  (await gateway.records()).filter((record) => record.kind === 'event' && record.event === name);

test('an edited rule decides the next request, while requests run without an error', async () => {
  const before = await gateway.chat(ASTRA);
  expect({ status: before.status, revision: revisionOf(before) }).toEqual({ status: 403, revision: firstRevision });

  let isOver = false;
  const seen: { status: number; revision: string | null; model: string | null; allowed: boolean }[] = [];
  const load = Array.from({ length: 6 }, async (_, at) => {
    while (!isOver) {
      // Half of them ask for what only the new policy allows.
      const isAstra = at % 2 === 0;
      const answer = await gateway.chat(isAstra ? ASTRA : {}, { as: isAstra ? 'student' : 'service' });
      await answer.arrayBuffer();
      seen.push({
        status: answer.status,
        revision: revisionOf(answer),
        model: answer.headers.get('x-aegis-model'),
        allowed: !isAstra,
      });
      await new Promise((resolve) => setTimeout(resolve, isAstra ? 400 : 20));
    }
  });
  const revision = await bundles.rollOut(OPEN);
  expect(revision).not.toBe(firstRevision);
  await until(() => (gateway.running.gateway.policies.current?.ref.revision === revision ? true : undefined), 20_000);
  const after = await gateway.chat(ASTRA);
  expect({ status: after.status, revision: revisionOf(after) }).toEqual({ status: 200, revision });
  expect(after.headers.get('x-aegis-model')).toBe('gpt-6-astra');
  isOver = true;
  await Promise.all(load);

  expect(seen.length).toBeGreaterThan(20);
  // Each answer is one policy's: what it decided and the revision it names agree.
  for (const { status, revision: decidedBy, allowed } of seen) {
    expect([firstRevision, revision]).toContain(decidedBy);
    expect(status).toBe(allowed || decidedBy === revision ? 200 : 403);
  }
  expect(await events('bundle_activated')).toHaveLength(2);
  const intents = await gateway.intents();
  const outcomes = await gateway.outcomes();
  for (const { id, bundle } of intents) {
    expect(outcomes.find((outcome) => outcome.id === id)?.cost.price_version).toBe(bundle.revision);
  }
}, 60_000);

test('a bad bundle changes nothing but an event', async () => {
  const good = await bundles.packed();
  const serving = gateway.running.gateway.policies.current?.ref;
  const damaged = Buffer.from(good);
  damaged[damaged.length >> 1]! ^= 0xff;
  for (const [number, bad] of [damaged, good.subarray(0, 100), Buffer.from('no bundle')].entries()) {
    await bundles.put(bad);
    await until(async () => ((await events('bundle_refused')).length > number ? true : undefined));
    expect(gateway.running.gateway.policies.current?.ref).toEqual(serving);
    const answer = await gateway.chat(ASTRA, { as: 'otherStudent' });
    expect({ status: answer.status, revision: revisionOf(answer) }).toEqual({
      status: 200,
      revision: serving?.revision,
    });
  }
});

test('the last known good bundle survives a restart, though the folder has a bad one', async () => {
  const serving = gateway.running.gateway.policies.current?.ref;
  await bundles.put(Buffer.from('no bundle'));
  await gateway.close();
  gateway = await openHere();
  expect(gateway.running.gateway.policies.current?.ref).toEqual(serving);
  const answer = await gateway.chat(ASTRA);
  expect({ status: answer.status, revision: revisionOf(answer) }).toEqual({ status: 200, revision: serving?.revision });
  const ready = await fetch(`${gateway.running.adminUrl}/readyz`);
  expect(ready.status).toBe(200);
  expect(await ready.json()).toMatchObject({ status: 'ready', policy: { revision: serving?.revision } });
});

test('an older bundle never comes back', async () => {
  const serving = gateway.running.gateway.policies.current?.ref;
  const older = await openTestBundles(); // begins at the first sequence again
  try {
    await older.rollOut();
    const refused = (await events('bundle_refused')).length;
    await bundles.put(await older.packed());
    await until(async () => ((await events('bundle_refused')).length > refused ? true : undefined));
    expect(gateway.running.gateway.policies.current?.ref).toEqual(serving);
  } finally {
    await older.remove();
  }
}, 60_000);

test('a rule that fails to compile to a decision is 503, never allowed', async () => {
  // `allow` stays undefined for one caller: the frame has no default any more.
  const revision = await bundles.rollOut({
    'aegis/decision.rego': (text) => text.replace(/"allow": allow,/, '"allow": [true | input.caller.user == "kim"],'),
  });
  await until(async () => {
    const current = gateway.running.gateway.policies.current?.ref.revision;
    const refused = (await events('bundle_refused')).length;
    return current === revision || refused > 0 ? true : undefined;
  }, 20_000);
  const before = gateway.openai.requests.length;
  const answer = await gateway.chat({}, { as: 'otherStudent' });
  if (revisionOf(answer) === revision || answer.status !== 200) {
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: { code: 'policy_unavailable' } });
    expect(gateway.openai.requests.length).toBe(before);
  } else {
    // Its warm-up saw the nonsense: it was not activated at all.
    expect(await events('bundle_refused')).not.toHaveLength(0);
  }
}, 60_000);

test('without any bundle every request is 503 policy_unavailable in its shape, and readyz says so', async () => {
  const empty = await openTestBundles();
  const none = await openTestGateway({ config: empty.config });
  try {
    const answer = await none.chat({});
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: { code: 'policy_unavailable', type: 'server_error' } });
    const message = await none.messages({ stream: true });
    expect(message.status).toBe(503);
    expect(await message.json()).toMatchObject({
      type: 'error',
      error: { type: 'overloaded_error', code: 'policy_unavailable' },
    });
    const models = await fetch(`${none.url}/v1/models`, { headers: { 'x-api-key': await none.key() } });
    expect(models.status).toBe(503);
    expect(none.openai.requests).toHaveLength(0);
    expect(await none.outcomeOf(answer)).toMatchObject({ outcome: 'failed', status: 503, error: 'policy_unavailable' });
    const ready = await fetch(`${none.running.adminUrl}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ problems: ['no policy bundle is active'] });
    // The first good one serves at once.
    const revision = await empty.rollOut();
    await until(() => (none.running.gateway.policies.current?.ref.revision === revision ? true : undefined), 20_000);
    none.openai.play = answerJson(200, chatCompletion('Hi.'));
    expect((await none.chat({})).status).toBe(200);
  } finally {
    await none.close();
    await empty.remove();
  }
}, 60_000);

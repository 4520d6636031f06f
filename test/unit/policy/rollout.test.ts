import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Policy } from '../../../gateway/policy/policy.ts';
import { type Candidate, createRollout, type Rollout, type RolloutEvent } from '../../../gateway/policy/rollout.ts';
import { createRolloutMemory } from '../../../gateway/policy/rollout-memory.ts';
import { planOf } from '../../../gateway/policy/rollout-plan.ts';
import type { Rollout as Desired } from '../../../gateway/types.gen.ts';
import { ended, fakePolicy, refusing } from '../../support/fake-policy.ts';
import { createMemoryRolloutStore, type MemoryRolloutStore } from '../../support/memory-rollout-store.ts';
import { input } from '../../support/policy-fixture.ts';

const turns = async (): Promise<void> => {
  for (let n = 0; n < 300; n++) await new Promise((resolve) => setImmediate(resolve));
};
const withBucket = (user: number) => ({ ...input(), bucket: { request: 0, session: 0, org: 0, user } });

/** One of several gateways on one store. */
interface Member {
  readonly rollout: Rollout;
  readonly events: RolloutEvent[];
  begin(desired?: Partial<Desired>, candidate?: Policy): Promise<void>;
}

const stable = fakePolicy('stable');
const good = fakePolicy('good');
const strict = fakePolicy('strict', () => refusing());

let folder: string;
let store: MemoryRolloutStore;
let now: number;
let opened: Rollout[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-rollout-'));
  store = createMemoryRolloutStore();
  now = 1_000_000;
  opened = [];
});
afterEach(async () => {
  store.state = 'there';
  for (const rollout of opened) await rollout.close();
  await rm(folder, { recursive: true, force: true });
});

const member = (replica: string, isAlone = false): Member => {
  const shared = isAlone ? undefined : store;
  const memory = createRolloutMemory(join(folder, replica), shared);
  const events: RolloutEvent[] = [];
  const rollout = createRollout({
    replica,
    store: shared,
    memory,
    onEvent: (event) => events.push(event),
    problem: () => null,
    clock: () => now,
  });
  opened.push(rollout);
  return {
    rollout,
    events,
    async begin(desired = {}, policy = good) {
      const whole: Desired = {
        stable: 'a.tar.gz',
        candidate: 'b.tar.gz',
        stage: 'canary',
        compare_cpu_share: 1,
        ...desired,
      };
      const plan = planOf(whole, stable.ref.digest, policy.ref.digest);
      const baseline = plan.steps[0].stage === 'full' ? rollout.baseline(stable.ref.digest) : null;
      const state = await memory.recall({ key: plan.key, step: 0, sinceMs: now, baseline, rolledBack: null });
      const candidate: Candidate = { ref: policy.ref, plan, state, policy: state.rolledBack ? null : policy };
      rollout.serve(stable, candidate);
    },
  };
};
const names = (events: readonly RolloutEvent[]): unknown[] =>
  events.map(({ event, detail }) =>
    event === 'rollout_stage' ? `${detail.stage} ${detail.percent}` : `back: ${detail.guard}`,
  );

describe('which bundle decides', () => {
  test('is stable in shadow, a share of the callers in a canary, the candidate in full', async () => {
    const { rollout, begin } = member('one');
    rollout.serve(stable, null);
    expect(rollout.policyFor(input().bucket)).toBe(stable);
    await begin({ stage: 'shadow' });
    expect(rollout.policyFor(input().bucket)).toBe(stable);
    await begin({ percent: 20 });
    const decided = Array.from({ length: 10_000 }, (_, user) => rollout.policyFor(withBucket(user).bucket));
    expect(decided.filter((policy) => policy === good)).toHaveLength(2_000);
    expect(rollout.current).toBe(stable);
    await begin({ stage: 'full' });
    expect(rollout.policyFor(input().bucket)).toBe(good);
    expect(rollout.current).toBe(good);
    rollout.serve(good, null);
    expect(rollout.policyFor(input().bucket)).toBe(good);
  });
});

describe('a rollout that is promoted by itself', () => {
  const NEXT = {
    stage: 'shadow',
    hold_s: 60,
    guards: { min_requests: 20 },
    next: [{ stage: 'canary', percent: 50 }, { stage: 'full' }],
  } as const satisfies Partial<Desired>;
  const load = async ({ rollout }: Member, policy: Policy, count: number): Promise<void> => {
    for (let n = 0; n < count; n++) rollout.observe(ended(policy));
    await turns();
  };

  test('goes on after its hold with enough samples, on all gateways, and stays in full', async () => {
    const [one, two] = [member('one'), member('two')];
    for (const each of [one, two]) await each.begin({ ...NEXT, next: [...NEXT.next] });
    // Together they have enough.
    await load(one, stable, 12);
    await load(two, stable, 12);
    now += 59_000;
    for (const { rollout } of [one, two, one]) await rollout.beat();
    expect(one.rollout.status().stage).toBe('shadow');
    now += 2_000;
    for (const { rollout } of [one, two, one]) await rollout.beat();
    await turns();
    await two.rollout.beat();
    for (const { rollout } of [one, two]) expect(rollout.status()).toMatchObject({ stage: 'canary', percent: 50 });
    now += 61_000;
    await one.rollout.beat();
    expect(one.rollout.status().stage).toBe('canary'); // nobody asked yet
    await load(one, good, 20);
    await load(one, stable, 20);
    await one.rollout.beat();
    await turns();
    expect(one.rollout.status().stage).toBe('full');
    expect((await store.read(one.rollout.candidate!.plan.key))?.baseline?.answers).toBe(20);
    now += 1_000_000;
    await one.rollout.beat();
    await two.rollout.beat();
    expect(names(one.events)).toEqual(['shadow 0', 'canary 50', 'full 100']);
    expect(names(two.events)).toEqual(['shadow 0', 'canary 50', 'full 100']);
  });

  test('waits while the store is away, and without samples', async () => {
    const one = member('one');
    await one.begin({ ...NEXT, next: [...NEXT.next] });
    now += 100_000;
    await one.rollout.beat();
    expect(one.rollout.status().stage).toBe('shadow');
    await load(one, stable, 30);
    store.state = 'away';
    await one.rollout.beat();
    await turns();
    expect(one.rollout.status().stage).toBe('shadow');
    store.state = 'there';
    await one.rollout.beat();
    await turns();
    expect(one.rollout.status().stage).toBe('canary');
  });

  test('does not go back a stage by an answer of the store that is older', async () => {
    const one = member('one');
    await one.begin({ stage: 'shadow', hold_s: 0, next: [{ stage: 'canary', percent: 100 }] });
    const before = one.rollout.candidate!.state;
    for (let n = 0; n < 120; n++) one.rollout.observe(ended(stable));
    await turns();
    await one.rollout.beat();
    await turns();
    expect(one.rollout.status().stage).toBe('canary');
    const { read } = store;
    store.read = async () => before;
    await one.rollout.beat();
    store.read = read;
    expect(one.rollout.policyFor(input().bucket)).toBe(good);
    expect(names(one.events)).toEqual(['shadow 0', 'canary 100']);
  });

  test('goes on without any store', async () => {
    const alone = member('alone', true);
    await alone.begin({ ...NEXT, next: [...NEXT.next] });
    await load(alone, stable, 30);
    now += 61_000;
    await alone.rollout.beat();
    expect(alone.rollout.status().stage).toBe('canary');
  });
});

describe('a breached guard', () => {
  const denyMuch = async ({ rollout }: Member, count = 60): Promise<void> => {
    for (let n = 0; n < count; n++) rollout.observe(ended(stable, { caller: `key-${n}` }));
    await turns();
  };

  test('takes the candidate back on every gateway, with the reason of who found it', async () => {
    const [one, two] = [member('one'), member('two')];
    for (const each of [one, two]) await each.begin({ percent: 100 }, strict);
    await denyMuch(one, 60);
    await one.rollout.beat();
    expect(one.rollout.status().stage).toBe('canary'); // 60 are not enough
    await denyMuch(two, 60);
    await two.rollout.beat();
    await turns();
    await one.rollout.beat();
    for (const { rollout, events } of [one, two]) {
      expect(rollout.policyFor(input().bucket)).toBe(stable);
      expect(rollout.candidate?.policy).toBeNull();
      expect(names(events)).toEqual(['canary 100', 'back: max_deny_rate_increase']);
      expect(events[1]?.detail).toMatchObject({
        found_by: 'two',
        stable: stable.ref.digest,
        candidate: strict.ref.digest,
        reason: expect.stringContaining('120 requests'),
      });
      expect(String(events[1]?.detail.decision_ids).split(' ').length).toBeGreaterThanOrEqual(3);
    }
  });

  test('works without the store, on what the gateway measured itself, and is told when the store is back', async () => {
    const [one, two] = [member('one'), member('two')];
    for (const each of [one, two]) await each.begin({ percent: 100 }, strict);
    store.state = 'hangs';
    await denyMuch(one, 120);
    await one.rollout.beat();
    expect(one.rollout.status().stage).toBe('rolled_back');
    expect(two.rollout.policyFor(input().bucket)).toBe(strict);
    // The store that hung answers nobody who asked it meanwhile.
    store.state = 'there';
    await one.rollout.close();
    const again = member('one');
    await again.begin({ percent: 100 }, strict);
    expect(again.rollout.policyFor(input().bucket)).toBe(stable);
    await again.rollout.beat();
    await two.rollout.beat();
    expect(two.rollout.policyFor(input().bucket)).toBe(stable);
  }, 20_000);

  test('stays back after a restart, until the file changes', async () => {
    const one = member('one');
    await one.begin({ percent: 100 }, strict);
    await denyMuch(one, 120);
    await one.rollout.beat();
    await one.rollout.close();
    const again = member('one');
    await again.begin({ percent: 100 }, strict);
    expect(again.rollout.policyFor(input().bucket)).toBe(stable);
    expect(again.rollout.candidate?.policy).toBeNull();
    expect(names(again.events)).toEqual(['rolled_back 0']);
    await again.begin({ percent: 100, attempt: 2 }, strict);
    expect(again.rollout.policyFor(input().bucket)).toBe(strict);
  });

  test('is not undone by what was recalled before it', async () => {
    const one = member('one');
    await one.begin({ percent: 100 }, strict);
    const before = one.rollout.candidate!;
    await denyMuch(one, 120);
    await one.rollout.beat();
    one.rollout.serve(stable, before);
    expect(one.rollout.policyFor(input().bucket)).toBe(stable);
  });

  test('in full compares errors with what stable came to before', async () => {
    const one = member('one');
    one.rollout.serve(stable, null);
    for (let n = 0; n < 200; n++) one.rollout.observe(ended(stable));
    await one.begin({ stage: 'full' });
    expect(one.rollout.candidate?.state.baseline).toMatchObject({ answers: 200, errors: 0 });
    for (let n = 0; n < 120; n++) one.rollout.observe(ended(good, n % 4 === 0 ? { outcome: 'failed' } : {}));
    await turns();
    await one.rollout.beat();
    expect(names(one.events)).toEqual(['full 100', 'back: max_error_rate_increase']);
  });

  test('is not caused by what a gateway measured that is gone, though its clock was ahead', async () => {
    const [gone, one] = [member('gone'), member('one')];
    for (const each of [gone, one]) await each.begin({ percent: 100 }, strict);
    await denyMuch(gone, 90);
    await gone.rollout.beat();
    await gone.rollout.close();
    const [report] = await store.replicas(now, 10_000);
    await store.report({ ...report!, updatedMs: now + 3_600_000 }, 10_000);
    await denyMuch(one, 30);
    await one.rollout.beat();
    await one.rollout.beat();
    expect(one.rollout.status().stage).toBe('canary');
  });

  test('is not caused by one caller whom the candidate cannot decide for', async () => {
    const broken = fakePolicy('broken', () => {
      throw new Error('out of fuel');
    });
    const one = member('one');
    await one.begin({}, broken);
    const fail = async (caller: string): Promise<void> => {
      one.rollout.observe(ended(broken, { caller, decision: undefined }));
      await turns();
      await one.rollout.beat();
    };
    for (let n = 0; n < 10; n++) await fail('a');
    await fail('b');
    expect(one.rollout.status().stage).toBe('canary');
    await fail('c');
    expect(names(one.events)).toEqual(['canary 5', 'back: max_policy_errors']);
  });
});

describe('what a gateway says of itself', () => {
  test('is its stage, its readings and its problem; without a rollout too', async () => {
    const one = member('one');
    one.rollout.serve(stable, null);
    await one.rollout.beat();
    expect(await store.replicas(now, 10_000)).toEqual([
      expect.objectContaining({
        replica: 'one',
        stable: stable.ref,
        candidate: null,
        stage: null,
        key: null,
        problem: null,
      }),
    ]);
    await one.begin({ percent: 30 });
    await one.rollout.beat();
    expect(await store.replicas(now, 10_000)).toEqual([
      expect.objectContaining({
        candidate: good.ref,
        stage: 'canary',
        percent: 30,
        key: one.rollout.candidate?.plan.key,
      }),
    ]);
  });
});

import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { FollowedSource } from '../../gateway/policy/source.ts';
import type { Rollout } from '../../gateway/types.gen.ts';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { boundless, figure } from '../support/cluster.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type TestGateway } from '../support/gateway.ts';

const SWAPS = 1_000;
/** Memory is looked at from here on: caches are full and code is compiled. */
const SETTLED = 300;
/** A bundle that nobody has seen is activated now and then, the others are there already. */
const NEW_EVERY = 100;
const CALLERS = 4;
const PAUSE_MS = 20;
const MB = 1024 * 1024;

let bundles: TestBundles;
let gateway: TestGateway;
const generous = (text: string): string => text.replace('daily_budget: { usd: 2 }', 'daily_budget: { usd: 1000000 }');
const tiers = { 'tiers/data.yaml': boundless };
/** The candidate lets students use frontier models. */
const open = {
  'roles/data.yaml': (text: string) =>
    generous(text).replace(
      'classes: { cheap: true, strong: true }',
      'classes: { cheap: true, strong: true, frontier: true }',
    ),
};
const FRONTIER = { model: 'gpt-6-astra' };

const stableRevisions = new Set<string>();
let candidateRevision: string;
const buildStable = async (file: string, round: number): Promise<void> => {
  const note = {
    'tiers/data.yaml': (text: string) => `${boundless(text)}\n# Round ${round}.\n`,
    'roles/data.yaml': generous,
  };
  stableRevisions.add(await bundles.build(file, note));
};

beforeAll(async () => {
  bundles = await openTestBundles();
  for (let round = 0; round <= SWAPS / NEW_EVERY; round++) await buildStable(`stable-${round}.tar.gz`, round);
  candidateRevision = await bundles.build('candidate.tar.gz', { ...tiers, ...open });
  await bundles.desire({ stable: 'stable-0.tar.gz' });
  gateway = await openTestGateway({ config: { bundles: { ...bundles.config.bundles, poll_s: 3_600 } } });
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
}, 120_000);
afterAll(async () => {
  await gateway.close();
  await bundles.remove();
});

/** What is outside of the heap is freed some turns after what held it. */
const collectGarbage = async (): Promise<void> => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let round = 0; round < 4; round++) {
    gc();
    await pause(50);
  }
};
const memory = async (): Promise<{ heap: number; outside: number; rss: number }> => {
  await collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed, outside: external, rss };
};

/** Counts what is still alive of what was added. */
const createCensus = () => {
  const known = new WeakSet<object>();
  const refs: WeakRef<object>[] = [];
  return {
    add(value: object): void {
      if (known.has(value)) return;
      known.add(value);
      refs.push(new WeakRef(value));
    },
    alive: (): number => refs.filter((ref) => ref.deref() !== undefined).length,
  };
};

/** What the n-th swap desires: the candidate comes and goes, and a stable bundle follows now and then. */
const desiredAt = (swap: number): Rollout => {
  const stable = `stable-${Math.floor(swap / NEW_EVERY)}.tar.gz`;
  const candidate = { stable, candidate: 'candidate.tar.gz', guards: { min_requests: 1_000_000 } };
  const stages = [
    { ...candidate, stage: 'full' },
    { ...candidate, stage: 'shadow' },
    { ...candidate, stage: 'canary', percent: 100 },
    { ...candidate, stage: 'shadow' },
  ] as const satisfies readonly Rollout[];
  return stages[swap % stages.length]!;
};

test('1,000 swaps under load: no error, no answer of two revisions, flat memory', async () => {
  const source = gateway.running.gateway.policies as FollowedSource;
  const key = await gateway.key();
  let isOver = false;
  let answered = 0;
  const byRevision = new Map<string, number>();
  const wrong: string[] = [];
  const callers = Array.from({ length: CALLERS }, async (_, at) => {
    const isFrontier = at % 2 === 0;
    while (!isOver) {
      const answer = await gateway.chat(isFrontier ? FRONTIER : {}, { headers: { authorization: `Bearer ${key}` } });
      await answer.arrayBuffer();
      const revision = answer.headers.get('x-aegis-policy-revision') ?? '';
      const isCandidate = revision === candidateRevision;
      // Only the candidate allows a frontier model: verdict and revision must be of one bundle.
      const expected = isFrontier && !isCandidate ? 403 : 200;
      if (answer.status !== expected || !(isCandidate || stableRevisions.has(revision))) {
        wrong.push(`${answer.status} by ${revision}, frontier: ${isFrontier}`);
      }
      byRevision.set(revision, (byRevision.get(revision) ?? 0) + 1);
      answered++;
      await pause(PAUSE_MS);
    }
  });

  const policies = createCensus();
  const started = performance.now();
  let settled = await memory();
  let swapped = 0;
  let before = source.policyFor(BUCKET)?.ref.digest;
  for (let swap = 0; swap < SWAPS; swap++) {
    await bundles.desire(desiredAt(swap));
    await source.refresh();
    const now = source.policyFor(BUCKET)?.ref.digest;
    if (now !== before) swapped++;
    before = now;
    gateway.openai.requests.length = 0; // The fake keeps what it was sent.
    if (source.current) policies.add(source.current);
    if (swap === SETTLED) settled = await memory();
  }
  const took = performance.now() - started;
  isOver = true;
  await Promise.all(callers);
  const end = await memory();
  const grown = { heap: end.heap - settled.heap, outside: end.outside - settled.outside, rss: end.rss - settled.rss };
  figure(
    `${policies.alive()} policies alive; ${swapped} swaps in ${Math.round(took / 1000)} s, ${answered} answers; grown by MB: ${JSON.stringify(
      Object.fromEntries(Object.entries(grown).map(([name, bytes]) => [name, Math.round((bytes / MB) * 10) / 10])),
    )}`,
  );

  expect(swapped).toBe(SWAPS);
  expect(wrong).toEqual([]);
  expect(answered).toBeGreaterThan(SWAPS / 10);
  // Both kinds of bundle have answered, and each that became stable.
  expect(byRevision.get(candidateRevision)).toBeGreaterThan(0);
  expect(byRevision.size).toBeGreaterThan(SWAPS / NEW_EVERY / 2);
  // The two that are prepared, and those of requests under way: none is.
  expect(policies.alive()).toBeLessThanOrEqual(2);
  // A policy of 10 MB that stayed behind at each new bundle, or some KB at each swap, would show.
  expect(grown.heap).toBeLessThan(16 * MB);
  expect(grown.outside).toBeLessThan(16 * MB);
  expect(grown.rss).toBeLessThan(128 * MB);
  const outcomes = await gateway.outcomes();
  expect(outcomes.filter(({ outcome }) => outcome !== 'ok' && outcome !== 'denied')).toEqual([]);
}, 180_000);

const BUCKET: Parameters<FollowedSource['policyFor']>[0] = { request: 1, user: 2, session: 3, org: 4 };

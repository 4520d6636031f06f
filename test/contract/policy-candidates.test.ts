import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { readStoredBundle, writeDurably } from '../../gateway/policy/bundle-store.ts';
import { createOrigin } from '../../gateway/policy/create-origin.ts';
import type { RolloutStore } from '../../gateway/policy/rollout-state.ts';
import { type FollowedSource, openPolicySource, type PolicyEvent } from '../../gateway/policy/source.ts';
import type { Rollout } from '../../gateway/types.gen.ts';
import { type Forgery, makeForgery } from '../support/bundle-forgery.ts';
import { bundleMutants } from '../support/bundle-mutants.ts';
import { openFileServer } from '../support/file-server.ts';
import { createMemoryRolloutStore } from '../support/memory-rollout-store.ts';
import { input, withFolder } from '../support/policy-fixture.ts';

let forgery: Forgery;
beforeAll(async () => {
  forgery = await makeForgery();
});

interface Fixture {
  readonly home: string;
  readonly folder: string;
  readonly events: PolicyEvent[];
  open(rollouts?: RolloutStore): Promise<FollowedSource>;
  put(name: string, packed: Uint8Array): Promise<void>;
  desire(rollout: Partial<Rollout>): Promise<void>;
  markedSequence(): Promise<number>;
}

const FULL = { stable: 'stable.tar.gz', candidate: 'candidate.tar.gz', stage: 'full' } as const;

/** A folder with `serving` as stable and `next` beside it; nothing is looked at but on `refresh`. */
const withCandidate =
  (kind: 'folder' | 'http') =>
  (use: (fixture: Fixture) => Promise<void>): Promise<void> =>
    withFolder(async (root) => {
      const [folder, home] = [join(root, 'bundles'), join(root, 'home')];
      await mkdir(folder);
      const events: PolicyEvent[] = [];
      const opened: FollowedSource[] = [];
      const server = kind === 'http' ? await openFileServer(folder) : undefined;
      const fixture: Fixture = {
        home,
        folder,
        events,
        async open(rollouts) {
          const source = await openPolicySource({
            origin: createOrigin({ source: server?.url ?? folder, token: '', pollMs: 3_600_000 }),
            home,
            ...(rollouts && { rollouts }),
            publicKeys: forgery.publicKeys,
            onEvent: (event) => events.push(event),
          });
          opened.push(source);
          return source;
        },
        put: (name, packed) => writeDurably(join(folder, name), packed),
        desire: (rollout) => writeDurably(join(folder, 'rollout.yaml'), Buffer.from(stringify(rollout))),
        markedSequence: async () => JSON.parse(await readFile(join(home, 'policy', 'mark.json'), 'utf8')).sequence,
      };
      await fixture.put('stable.tar.gz', await forgery.sign(forgery.serving));
      await fixture.put('candidate.tar.gz', await forgery.sign(forgery.next));
      try {
        await use(fixture);
      } finally {
        for (const source of opened) await source.close();
        await server?.stop();
      }
    });

const named = (events: readonly PolicyEvent[]): string[] =>
  events.map(({ event, detail }) => (event === 'rollout_stage' ? `${event} ${detail.stage}` : event));
const decidedBy = (source: FollowedSource): string => source.policyFor(input().bucket)!.decide(input()).route.reason;

describe.each(['folder', 'http'] as const)('a candidate from a %s', (kind) => {
  const withIt = withCandidate(kind);

  test('decides as far as its stage goes, is kept for explain, and does not raise the high-water mark', () =>
    withIt(async ({ home, events, open, desire, markedSequence }) => {
      await desire({ ...FULL, stage: 'shadow' });
      const source = await open();
      expect(decidedBy(source)).toBe('sequence 5');
      await desire({ ...FULL, stage: 'canary', percent: 100 });
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 6');
      expect(source.current?.ref.digest).toBe(forgery.serving.digest);
      await desire(FULL);
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 6');
      expect(source.current?.ref.digest).toBe(forgery.next.digest);
      expect(await markedSequence()).toBe(5);
      expect((await readStoredBundle(home, forgery.next.digest))?.digest).toBe(forgery.next.digest);
      expect(named(events)).toEqual([
        'bundle_activated',
        'rollout_stage shadow',
        'rollout_stage canary',
        'rollout_stage full',
      ]);
      // The way back is no activation.
      await desire({ stable: 'stable.tar.gz' });
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 5');
      expect(named(events)).toHaveLength(4);
    }));

  test('that becomes stable goes on deciding with the same instance, and raises the mark then', () =>
    withIt(async ({ events, open, desire, markedSequence }) => {
      await desire(FULL);
      const source = await open();
      const deciding = source.policyFor(input().bucket);
      await desire({ stable: 'candidate.tar.gz' });
      await source.refresh();
      expect(source.policyFor(input().bucket)).toBe(deciding);
      expect(source.current).toBe(deciding);
      expect(await markedSequence()).toBe(6);
      expect(named(events)).toEqual(['bundle_activated', 'rollout_stage full', 'bundle_activated']);
    }));

  test(
    'that must not serve changes nothing but an event, and stable goes on',
    () =>
      withIt(async ({ events, open, put, desire, markedSequence }) => {
        await desire({ stable: 'stable.tar.gz' });
        const source = await open();
        const before = source.current;
        await desire(FULL);
        const activated: string[] = [];
        const mutants = Object.entries(bundleMutants(forgery));
        expect(mutants.length).toBeGreaterThanOrEqual(40);
        for (const [name, make] of mutants) {
          events.length = 0;
          await put('candidate.tar.gz', await make());
          await source.refresh();
          await source.refresh();
          if (source.policyFor(input().bucket) !== before || source.rollout().stage !== null) activated.push(name);
          if (events.length !== 1 || events[0]?.event !== 'bundle_refused') activated.push(`${name}: ${named(events)}`);
          if (!source.isRefusing || events[0]?.detail.as !== 'candidate') activated.push(`${name}: not told`);
        }
        expect(activated).toEqual([]);
        expect(decidedBy(source)).toBe('sequence 5');
        expect(await markedSequence()).toBe(5);
        await put('candidate.tar.gz', await forgery.sign(forgery.next));
        await source.refresh();
        expect(decidedBy(source)).toBe('sequence 6');
        expect(source.isRefusing).toBe(false);
      }),
    180_000,
  );

  test('that is replaced by a bad one goes on, until the file or stable changes', () =>
    withIt(async ({ open, put, desire }) => {
      await desire(FULL);
      const source = await open();
      await put('candidate.tar.gz', Buffer.from('no bundle'));
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 6');
      expect(source.isRefusing).toBe(true);
      await desire({ stable: 'stable.tar.gz' });
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 5');
    }));

  test('that is missing does not keep a new stable bundle from serving, and is taken when it is there', () =>
    withIt(async ({ folder, events, open, put, desire }) => {
      await rm(join(folder, 'candidate.tar.gz'));
      await desire(FULL);
      const source = await open();
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 5');
      expect(named(events)).toEqual(['bundle_activated', 'bundle_refused']);
      await put('stable.tar.gz', await forgery.sign(forgery.next));
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 6');
      await put('candidate.tar.gz', await forgery.sign(forgery.newer));
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 7');
    }));

  test('is refused when it is the stable bundle, below the mark, or of its number', () =>
    withIt(async ({ events, open, put, desire }) => {
      await desire(FULL);
      await put('candidate.tar.gz', await forgery.sign(forgery.serving));
      const source = await open();
      for (const other of [forgery.others.older!, forgery.others.equal!]) {
        await put('candidate.tar.gz', await forgery.sign(other));
        await source.refresh();
      }
      expect(decidedBy(source)).toBe('sequence 5');
      expect(events.slice(1).map(({ detail }) => detail.reason)).toEqual([
        'rollout.yaml: the candidate is the stable bundle',
        expect.stringContaining('below the high-water mark 5'),
        expect.stringContaining('already used for another bundle'),
      ]);
    }));

  test('is none after a restart without the source: the last known good is stable', () =>
    withIt(async ({ folder, open, desire }) => {
      await desire(FULL);
      await (await open()).close();
      await rm(folder, { recursive: true });
      expect(decidedBy(await open())).toBe('sequence 5');
    }));

  test('that others took back does not decide on a new gateway while the store is away, nor when it is back', () =>
    withIt(async ({ home, events, open, desire }) => {
      await desire(FULL);
      const store = createMemoryRolloutStore();
      const first = await open(store);
      const { key } = first.shown().candidate!.plan;
      const time = '2026-11-24T12:00:00.000Z';
      await store.rollBack(key, { time, guard: 'max_cost_increase', reason: 'Dear.', decisionIds: [], replica: 'b' });
      await first.close();
      await rm(home, { recursive: true });
      events.length = 0;
      store.state = 'away';
      const source = await open(store);
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 5');
      expect(named(events)).toEqual(['bundle_activated', 'bundle_refused']);
      expect(source.shown().problem).toMatch(/begins when the store is back/);
      store.state = 'there';
      await source.refresh();
      expect(decidedBy(source)).toBe('sequence 5');
      expect(source.rollout().stage).toBe('rolled_back');
      expect(source.shown().problem).toBeNull();
    }));

  test('keeps its rollout when only comments of the file change', () =>
    withIt(async ({ folder, events, open, desire }) => {
      await desire(FULL);
      const source = await open();
      const text = await readFile(join(folder, 'rollout.yaml'), 'utf8');
      await writeFile(join(folder, 'rollout.yaml'), `# Watch this one.\n${text}`);
      await source.refresh();
      expect(named(events)).toEqual(['bundle_activated', 'rollout_stage full']);
    }));
});

describe('a candidate from a folder that is exchanged', () => {
  const withIt = withCandidate('folder');

  test.each(['rollout.yaml', 'candidate.tar.gz'])('is not taken by a file %s', (at) =>
    withIt(async ({ folder, home, events, put, desire }) => {
      await desire({ ...FULL, stage: 'shadow' });
      await put('candidate.tar.gz', await forgery.sign(forgery.next));
      const origin = createOrigin({ source: folder, token: '', pollMs: 3_600_000 });
      let isReplaced = true;
      const source = await openPolicySource({
        origin: {
          ...origin,
          // What a folder is exchanged for in the middle of a look: a newer candidate, and a file that shows it in shadow.
          read: async (name, limitBytes) => {
            const isNow = name === at && !isReplaced;
            if (isNow && at !== 'rollout.yaml') await replace();
            const bytes = await origin.read(name, limitBytes);
            if (isNow && at === 'rollout.yaml') await replace();
            return bytes;
          },
        },
        home,
        publicKeys: forgery.publicKeys,
        onEvent: (event) => events.push(event),
      });
      const replace = async (): Promise<void> => {
        isReplaced = true;
        await put('candidate.tar.gz', await forgery.sign(forgery.newer));
        await desire({ ...FULL, stage: 'shadow', attempt: 2 });
      };
      try {
        await desire(FULL);
        isReplaced = false;
        await source.refresh();
        expect(isReplaced).toBe(true);
        expect(decidedBy(source)).not.toBe('sequence 7');
        await source.refresh();
        expect(decidedBy(source)).toBe('sequence 5');
        expect(named(events).slice(2)).toEqual(['rollout_stage shadow']);
        expect(source.shown().problem).toBeNull();
      } finally {
        await source.close();
      }
    }),
  );
});

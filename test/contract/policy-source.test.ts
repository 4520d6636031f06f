import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Bundle } from '../../gateway/policy/bundle.ts';
import { readStoredBundle } from '../../gateway/policy/bundle-store.ts';
import { createOrigin } from '../../gateway/policy/create-origin.ts';
import { type FollowedSource, openPolicySource, type PolicyEvent } from '../../gateway/policy/source.ts';
import { type Forgery, makeForgery } from '../support/bundle-forgery.ts';
import { bundleMutants } from '../support/bundle-mutants.ts';
import { openFileServer } from '../support/file-server.ts';
import { allowAll, compile, input, withFolder } from '../support/policy-fixture.ts';

let forgery: Forgery;
let serving: Bundle;
let next: Bundle;
let newer: Bundle;

beforeAll(async () => {
  forgery = await makeForgery();
  ({ serving, next, newer } = forgery);
});

interface Fixture {
  folder: string;
  home: string;
  events: PolicyEvent[];
  /** Without `pollMs` tests decide when the source looks. */
  open(pollMs?: number): Promise<FollowedSource>;
  put(packed: Uint8Array): Promise<void>;
}

/** A bundle folder and a home of their own, and a server of the folder where it is asked for. */
const sourceFrom =
  (kind: 'folder' | 'http') =>
  (use: (fixture: Fixture) => Promise<void>): Promise<void> =>
    withFolder(async (root) => {
      const [folder, home] = [join(root, 'bundles'), join(root, 'home')];
      const events: PolicyEvent[] = [];
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, 'rollout.yaml'), 'stable: default.tar.gz\n');
      const opened: FollowedSource[] = [];
      const server = kind === 'http' ? await openFileServer(folder) : undefined;
      const open = async (pollMs = 3_600_000): Promise<FollowedSource> => {
        const source = await openPolicySource({
          origin: createOrigin({ source: server?.url ?? folder, token: '', pollMs }),
          home,
          publicKeys: forgery.publicKeys,
          onEvent: (event) => events.push(event),
        });
        opened.push(source);
        return source;
      };
      const put = async (packed: Uint8Array): Promise<void> => {
        await writeFile(join(folder, 'new'), packed);
        await rename(join(folder, 'new'), join(folder, 'default.tar.gz'));
      };
      try {
        await use({ folder, home, events, open, put });
      } finally {
        for (const source of opened) await source.close();
        await server?.stop();
      }
    });

const sign: Forgery['sign'] = (...what) => forgery.sign(...what);

describe.each(['folder', 'http'] as const)('a policy source from a %s', (kind) => {
  const withSource = sourceFrom(kind);
  test('a bundle checked against another input schema serves, and it is told', async () => {
    await withSource(async ({ events, open, put }) => {
      await put(await sign(serving));
      const source = await open();
      expect(events.map(({ event }) => event)).toEqual(['bundle_activated']);
      const other = forgery.manifest(({ metadata }) => {
        metadata.aegis.input_schema_sha256 = 'a'.repeat(64);
      });
      await put(await sign({ files: other }));
      expect((await source.refresh())?.manifest.metadata.aegis.sequence).toBe(6);
      expect(events.slice(1).map(({ event }) => event)).toEqual(['bundle_activated', 'bundle_schema_differs']);
      expect(events.at(-1)?.detail).toMatchObject({ checked_against: 'a'.repeat(64) });
    });
  });

  describe('a bundle that must not serve', () => {
    test('none activates, each is told once, and the serving bundle stays', async () => {
      await withSource(async ({ events, open, put }) => {
        await put(await sign(serving));
        const source = await open();
        const before = source.current;
        expect(before?.manifest.metadata.aegis.sequence).toBe(5);
        const activated: string[] = [];
        for (const [name, make] of Object.entries(bundleMutants(forgery))) {
          events.length = 0;
          await put(await make());
          const current = await source.refresh();
          await source.refresh();
          if (current !== before || events.length !== 1 || events[0]?.event !== 'bundle_refused') activated.push(name);
          if (source.current?.decide(input()).route.reason !== 'sequence 5') activated.push(`${name}: not serving`);
        }
        expect(activated).toEqual([]);
        await put(await sign(next));
        expect((await source.refresh())?.manifest.metadata.aegis.sequence).toBe(6);
      });
    }, 180_000);

    test('at a start without a last known good, nothing serves', async () => {
      await withSource(async ({ events, open, put }) => {
        await put(await sign(serving, {}, forgery.stranger.privateKey));
        const source = await open();
        expect(source.current).toBeUndefined();
        expect(events.map(({ event }) => event)).toEqual(['bundle_refused']);
        expect(events[0]?.detail.reason).toMatch(/not made by key "test"/);
      });
    });
  });

  describe('a policy source', () => {
    test('follows rollout.yaml and the bundle by itself', async () => {
      await withSource(async ({ folder, events, open, put }) => {
        await put(await sign(serving));
        const source = await open(kind === 'http' ? 100 : undefined);
        await writeFile(join(folder, 'next.tar.gz'), await sign(next));
        await writeFile(join(folder, 'rollout.yaml'), 'stable: next.tar.gz\n');
        for (let wait = 0; wait < 100 && source.current?.ref.digest !== next.digest; wait++) {
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        expect(source.current?.ref).toEqual({ digest: next.digest, revision: next.manifest.revision });
        expect(events.filter(({ event }) => event === 'bundle_activated')).toHaveLength(2);
      });
    });

    test.each([
      ['nothing', ''],
      ['a name that climbs', 'stable: ../default.tar.gz\n'],
      ['an unknown field', 'stable: default.tar.gz\nstabel: x\n'],
      ['bad YAML', 'stable: [\n'],
      ['a bundle that is not there', 'stable: missing.tar.gz\n'],
    ])('keeps the serving bundle when rollout.yaml says %s', async (_, text) => {
      await withSource(async ({ folder, events, open, put }) => {
        await put(await sign(serving));
        const source = await open();
        await writeFile(join(folder, 'rollout.yaml'), text);
        await source.refresh();
        await source.refresh();
        expect(source.current?.ref.digest).toBe(serving.digest);
        expect(events.map(({ event }) => event)).toEqual(['bundle_activated', 'bundle_refused']);
      });
    });

    test('serves the last known good after a restart without its folder, and lets nothing older in', async () => {
      await withSource(async ({ folder, home, events, open, put }) => {
        await put(await sign(next));
        await (await open()).close();
        await rm(folder, { recursive: true });
        const alone = await open();
        expect(alone.current?.ref.digest).toBe(next.digest);
        expect(events.at(-1)).toMatchObject({ event: 'bundle_activated', detail: { source: 'last known good' } });
        await alone.close();
        await mkdir(folder);
        await writeFile(join(folder, 'rollout.yaml'), 'stable: default.tar.gz\n');
        await put(await sign(serving));
        const again = await open();
        expect(again.current?.ref.digest).toBe(next.digest);
        expect(events.some(({ detail }) => /below the high-water mark 6/.test(String(detail.reason)))).toBe(true);
        expect((await readdir(join(home, 'policy', 'bundles'))).every((name) => name.endsWith('.tar.gz'))).toBe(true);
      });
    });

    test('verifies the last known good again: a changed one does not serve', async () => {
      await withSource(async ({ folder, home, open, put }) => {
        await put(await sign(serving));
        await (await open()).close();
        await rm(folder, { recursive: true });
        const file = join(home, 'policy', 'bundles', `${serving.digest}.tar.gz`);
        const kept = await readFile(file);
        await writeFile(file, await sign(next, {}, forgery.stranger.privateKey));
        const changed = await open();
        expect(changed.current).toBeUndefined();
        await expect(readStoredBundle(home, serving.digest)).rejects.toThrow(/was altered/);
        await writeFile(file, await sign(newer));
        expect((await open()).current).toBeUndefined();
        await writeFile(file, kept);
        expect((await open()).current?.ref.digest).toBe(serving.digest);
      });
    });

    test('refuses to go on when the high-water mark is damaged', async () => {
      await withSource(async ({ home, events, open, put }) => {
        await put(await sign(serving));
        await (await open()).close();
        await writeFile(join(home, 'policy', 'mark.json'), '{}');
        const source = await open();
        expect(source.current).toBeUndefined();
        expect(String(events.at(-1)?.detail.reason)).toMatch(/mark.json is damaged/);
      });
    });

    test('keeps each activated bundle for explain', async () => {
      await withSource(async ({ home, open, put }) => {
        await put(await sign(serving));
        const source = await open();
        await put(await sign(next));
        await source.refresh();
        for (const bundle of [serving, next]) {
          const stored = await readStoredBundle(home, bundle.digest);
          expect(stored?.manifest.metadata.aegis.rules['aegis.everything']).toMatchObject({
            title: 'Everything',
            file: 'policies/aegis/decision.rego',
          });
        }
        expect(await readStoredBundle(home, 'f'.repeat(64))).toBeUndefined();
        expect(await readStoredBundle(home, '../../etc/passwd')).toBeUndefined();
      });
    });

    test('swaps between two requests: no request sees two revisions', async () => {
      await withSource(async ({ open, put }) => {
        await put(await sign(await compile(allowAll('revision 10'), 10)));
        const source = await open();
        let over = false;
        let decided = 0;
        const mixed: string[] = [];
        const caller = async (): Promise<void> => {
          while (!over) {
            const policy = source.current!;
            const first = policy.decide(input()).route.reason;
            await new Promise((resolve) => setImmediate(resolve));
            const second = policy.decide(input()).route.reason;
            const expected = `revision ${policy.manifest.metadata.aegis.sequence}`;
            if (first !== expected || second !== expected) mixed.push(`${first}, ${second}, ${expected}`);
            decided++;
          }
        };
        const callers = [caller(), caller(), caller(), caller()];
        const template = await compile(allowAll('revision @@'), 1);
        for (let sequence = 11; sequence < 41; sequence++) {
          const files = new Map(template.files);
          // Same length, so that the string in the module's data keeps its place.
          files.set(
            'policy.wasm',
            Buffer.from(template.wasm.toString('latin1').replace('revision @@', `revision ${sequence}`), 'latin1'),
          );
          files.set(
            '.manifest',
            Buffer.from(template.files.get('.manifest')!.toString().replace('"sequence":1', `"sequence":${sequence}`)),
          );
          await put(await sign({ files }));
          const now = await source.refresh();
          expect(now?.manifest.metadata.aegis.sequence).toBe(sequence);
        }
        over = true;
        await Promise.all(callers);
        expect(mixed).toEqual([]);
        expect(decided).toBeGreaterThan(30);
      });
    }, 120_000);
  });
});

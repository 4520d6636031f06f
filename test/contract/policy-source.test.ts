import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { CompactSign } from 'jose';
import { pack } from 'tar-stream';
import { type Bundle, readBundle, SIGNATURES_FILE } from '../../gateway/policy/bundle.ts';
import { readStoredBundle } from '../../gateway/policy/bundle-store.ts';
import { createFolderOrigin } from '../../gateway/policy/folder-origin.ts';
import { packFiles } from '../../gateway/policy/pack.ts';
import { type FollowedSource, openPolicySource, type PolicyEvent } from '../../gateway/policy/source.ts';
import { allowAll, compile, input, resultOf, signFiles, testKey, withFolder } from '../support/policy-fixture.ts';

type Files = Map<string, Buffer>;

const key = testKey();
const stranger = testKey();
let serving: Bundle;
let next: Bundle;
let newer: Bundle;
let others: Record<string, Bundle>;

beforeAll(async () => {
  serving = await compile(allowAll('sequence 5'), 5);
  next = await compile(allowAll('sequence 6'), 6);
  newer = await compile(allowAll('sequence 7'), 7);
  const denies = { ...allowAll(), 'models/data.json': '{"models":{}}' };
  others = {
    older: await compile(allowAll('older'), 4),
    equal: await compile(allowAll('equal, other content'), 5),
    foreign: await compile(resultOf('sprintf("%v", [input.request.id])'), 6),
    undefinedResult: await compile(resultOf('input.request.nothing'), 6),
    wrongShape: await compile(resultOf('{"allow": true}'), 6),
    noModels: await compile(denies, 6),
    strangeModel: await compile(
      { ...allowAll(), 'aegis/decision.rego': allowAll()['aegis/decision.rego']!.replace('"small"', '"large"') },
      6,
    ),
    runaway: await compile(resultOf('replace(input.request.id, data.models.small.title, "x")'), 6),
  };
});

interface Fixture {
  folder: string;
  home: string;
  events: PolicyEvent[];
  open(): Promise<FollowedSource>;
  put(packed: Uint8Array): Promise<void>;
}

/** A bundle folder and a home of their own; a slow beat, so that tests decide when the source looks. */
const withSource = (use: (fixture: Fixture) => Promise<void>): Promise<void> =>
  withFolder(async (root) => {
    const [folder, home] = [join(root, 'bundles'), join(root, 'home')];
    const events: PolicyEvent[] = [];
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'rollout.yaml'), 'stable: default.tar.gz\n');
    const opened: FollowedSource[] = [];
    const open = async (): Promise<FollowedSource> => {
      const publicKeys = new Map([['test', key.publicKey]]);
      const source = await openPolicySource({
        origin: createFolderOrigin(folder, 3_600_000),
        home,
        publicKeys,
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
    }
  });

const sign = (
  bundle: { files: ReadonlyMap<string, Buffer> },
  claims = {},
  by: KeyObject = key.privateKey,
): Promise<Buffer> => signFiles(bundle.files, by, claims);

const changed = (change: (files: Files) => void): Files => {
  const files = new Map(next.files);
  change(files);
  return files;
};

const manifest = (
  change: (value: Record<string, unknown> & { metadata: { aegis: Record<string, unknown> } }) => void,
): Files =>
  changed((files) => {
    const value = JSON.parse(files.get('.manifest')!.toString());
    change(value);
    files.set('.manifest', Buffer.from(JSON.stringify(value)));
  });

const flipped = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = copy[at]! ^ 0x01;
  return copy;
};

const unpacked = async (packed: Buffer): Promise<Files> => new Map((await readBundle(packed)).files);

/** Signs by hand, so that header and payload can be anything. */
const signOddly = async (
  change: (payload: Record<string, unknown>) => void,
  header: { alg: string } = { alg: 'RS256' },
  signer: KeyObject | Uint8Array = key.privateKey,
): Promise<Buffer> => {
  const files = await unpacked(await sign(next));
  const token = JSON.parse(files.get(SIGNATURES_FILE)!.toString()).signatures[0] as string;
  const payload = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
  change(payload);
  const bytes = Buffer.from(JSON.stringify(payload));
  const made =
    header.alg === 'none'
      ? `${Buffer.from('{"alg":"none"}').toString('base64url')}.${bytes.toString('base64url')}.`
      : await new CompactSign(bytes).setProtectedHeader(header).sign(signer);
  files.set(SIGNATURES_FILE, Buffer.from(JSON.stringify({ signatures: [made] })));
  return packFiles(files);
};

const tarWith = async (add: (tar: ReturnType<typeof pack>, files: Files) => void): Promise<Buffer> => {
  const files = await unpacked(await sign(next));
  const tar = pack();
  add(tar, files);
  for (const [name, bytes] of files) tar.entry({ name: `/${name}`, mtime: new Date(0) }, bytes);
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  return gzipSync(Buffer.concat(chunks));
};

const withSignatures = async (content: unknown): Promise<Buffer> => {
  const files = await unpacked(await sign(next));
  files.set(SIGNATURES_FILE, Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)));
  return packFiles(files);
};

const signaturesOf = async (packed: Buffer): Promise<string[]> =>
  JSON.parse((await unpacked(packed)).get(SIGNATURES_FILE)!.toString()).signatures;

/** After the signature: the files change, the signature stays. */
const altered = async (change: (files: Files) => void): Promise<Buffer> => {
  const files = await unpacked(await sign(next));
  change(files);
  return packFiles(files);
};

const MUTANTS: Record<string, () => Promise<Buffer> | Buffer> = {
  'an empty file': () => Buffer.alloc(0),
  'a text file': () => Buffer.from('not a bundle'),
  'a gzip that ends early': async () => (await sign(next)).subarray(0, 30_000),
  'a gzip with a flipped byte': async () => flipped(await sign(next), 20_000),
  'a gzip with a wrong checksum': async () => {
    const packed = await sign(next);
    return flipped(packed, packed.length - 6);
  },
  'a tar that ends early': async () => gzipSync(gunzipSync(await sign(next)).subarray(0, 50_000)),
  'a tar with a damaged header': async () => gzipSync(flipped(gunzipSync(await sign(next)), 3)),
  'a gzip bomb': () => gzipSync(Buffer.alloc(80 * 1024 * 1024)),
  'a flipped byte in the module': () =>
    altered((files) => files.set('policy.wasm', flipped(files.get('policy.wasm')!, 5000))),
  'a flipped byte in the data': () =>
    altered((files) => files.set('data.json', Buffer.from(files.get('data.json')!.toString().replace('100', '101')))),
  'a changed number literal in the data': () =>
    altered((files) => files.set('data.json', Buffer.from(files.get('data.json')!.toString().replace('100', '1e2')))),
  'a changed revision': () =>
    altered((files) =>
      files.set(
        '.manifest',
        Buffer.from(
          files
            .get('.manifest')!
            .toString()
            .replace(/"revision":"./, '"revision":"0'),
        ),
      ),
    ),
  'a higher sequence written into the manifest': () =>
    altered((files) =>
      files.set('.manifest', Buffer.from(files.get('.manifest')!.toString().replace('"sequence":6', '"sequence":9'))),
    ),
  'a changed source': () =>
    altered((files) => files.set('policies/aegis/decision.rego', Buffer.from('package aegis\n'))),
  'an extra file': () => altered((files) => files.set('policies/extra.rego', Buffer.from('package extra\n'))),
  'a missing source': () => altered((files) => files.delete('policies/aegis/decision.rego')),
  'a missing module': () => altered((files) => files.delete('policy.wasm')),
  'missing data': () => altered((files) => files.delete('data.json')),
  'a missing manifest': () => altered((files) => files.delete('.manifest')),
  'two files exchanged': () =>
    altered((files) => {
      const source = files.get('policies/aegis/decision.rego')!;
      files.delete('policies/aegis/decision.rego');
      files.set('policies/aegis/other.rego', source);
    }),
  'data in a folder of its own, signed': () =>
    sign({ files: changed((files) => files.set('tiers/data.json', Buffer.from('{}'))) }),
  'a delta, signed': () => sign({ files: changed((files) => files.set('patch.json', Buffer.from('{}'))) }),
  'no signature': () => altered((files) => files.delete(SIGNATURES_FILE)),
  'an empty list of signatures': () => withSignatures({ signatures: [] }),
  'two signatures': async () =>
    withSignatures({
      signatures: [...(await signaturesOf(await sign(next))), ...(await signaturesOf(await sign(next)))],
    }),
  'signatures that are no JSON': () => withSignatures('{'),
  'a signature that is no token': () => withSignatures({ signatures: ['a.b.c'] }),
  'a signature of null': () => withSignatures('null'),
  "another bundle's signature": async () => withSignatures({ signatures: await signaturesOf(await sign(newer)) }),
  'the signature of a stranger under our key id': () => sign(next, {}, stranger.privateKey),
  'a key id that is not known': () => sign(next, { keyid: 'stranger' }, stranger.privateKey),
  'no key id': () => signOddly((payload) => delete payload.keyid),
  'a key id that is a property of every object': () =>
    signOddly((payload) => Object.assign(payload, { keyid: '__proto__' })),
  'algorithm none': () => signOddly(() => {}, { alg: 'none' }),
  'HS256 keyed with the public key': () => signOddly(() => {}, { alg: 'HS256' }, Buffer.from(key.publicPem)),
  'RS512 where RS256 is pinned': () => signOddly(() => {}, { alg: 'RS512' }),
  'PS256 where RS256 is pinned': () => signOddly(() => {}, { alg: 'PS256' }),
  'ES256 by another key': () =>
    signOddly(() => {}, { alg: 'ES256' }, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
  'another scope': () => sign(next, { scope: 'other' }),
  'no scope': () => signOddly((payload) => delete payload.scope),
  'an expiry in the past': () => sign(next, { exp: 1_700_000_000 }),
  'an expiry that is no number': () => sign(next, { exp: '2099-01-01' }),
  'no files signed': () => signOddly((payload) => Object.assign(payload, { files: [] })),
  'files that are no list': () => signOddly((payload) => Object.assign(payload, { files: {} })),
  'a file signed twice': () =>
    signOddly((payload) => (payload.files as object[]).push((payload.files as object[])[0]!)),
  'a weaker hash': () => signOddly((payload) => Object.assign((payload.files as object[])[0]!, { algorithm: 'MD5' })),
  'an older sequence': () => sign(others.older!),
  'the same sequence with other content': () => sign(others.equal!),
  'a sequence of 0': () => sign({ files: manifest((value) => Object.assign(value.metadata.aegis, { sequence: 0 })) }),
  'a sequence that is no integer': () =>
    sign({ files: manifest((value) => Object.assign(value.metadata.aegis, { sequence: 6.5 })) }),
  'a later contract': () => sign({ files: manifest((value) => Object.assign(value.metadata.aegis, { contract: 2 })) }),
  'a later gateway': () =>
    sign({ files: manifest((value) => Object.assign(value.metadata.aegis, { min_gateway: '99.0.0' })) }),
  'a gateway version of nonsense': () =>
    sign({ files: manifest((value) => Object.assign(value.metadata.aegis, { min_gateway: 'later' })) }),
  'a manifest without our fields': () => sign({ files: manifest((value) => Object.assign(value, { metadata: {} })) }),
  'a manifest with an unknown field of ours': () =>
    sign({ files: manifest((value) => Object.assign(value.metadata.aegis, { open: true })) }),
  'a manifest that is a list': () => sign({ files: changed((files) => files.set('.manifest', Buffer.from('[]'))) }),
  'an entrypoint that is not listed': () =>
    sign({ files: manifest((value) => Object.assign(value, { wasm: (value.wasm as object[]).slice(0, 1) })) }),
  'a module without the entrypoint': () =>
    sign({
      files: changed((files) =>
        files.set(
          'policy.wasm',
          Buffer.from(
            files.get('policy.wasm')!.toString('latin1').replaceAll('aegis/models', 'aegis/modelz'),
            'latin1',
          ),
        ),
      ),
    }),
  'a module that is no WebAssembly': () =>
    sign({ files: changed((files) => files.set('policy.wasm', Buffer.from('wasm'))) }),
  'a module that is cut off': () =>
    sign({ files: changed((files) => files.set('policy.wasm', files.get('policy.wasm')!.subarray(0, 50_000))) }),
  'a module that calls a function of its host': () => sign(others.foreign!),
  'a policy without a result': () => sign(others.undefinedResult!),
  'a policy whose decision is malformed': () => sign(others.wrongShape!),
  'a policy that names an unknown model': () => sign(others.strangeModel!),
  'a policy that runs away': () =>
    sign({
      files: changed((files) =>
        files
          .set('policy.wasm', others.runaway!.wasm)
          .set('data.json', Buffer.from(files.get('data.json')!.toString().replace('"Small"', '""'))),
      ),
    }),
  'data without models': () => sign(others.noModels!),
  'data with a bad price': () =>
    sign({
      files: changed((files) =>
        files.set('data.json', Buffer.from(files.get('data.json')!.toString().replace('"input":1', '"input":-1'))),
      ),
    }),
  'data with a price of more decimals than money has': () =>
    sign({
      files: changed((files) =>
        files.set(
          'data.json',
          Buffer.from(files.get('data.json')!.toString().replace('"input":1', '"input":0.0000001')),
        ),
      ),
    }),
  'data that are a list': () => sign({ files: changed((files) => files.set('data.json', Buffer.from('[]'))) }),
  'data that are no UTF-8': () =>
    sign({
      files: changed((files) => files.set('data.json', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))),
    }),
  'a symbolic link': () => tarWith((tar) => tar.entry({ name: 'link.rego', type: 'symlink', linkname: '/etc/passwd' })),
  'a hard link': () => tarWith((tar) => tar.entry({ name: 'link.rego', type: 'link', linkname: 'policy.wasm' })),
  'a device': () => tarWith((tar) => tar.entry({ name: 'null.rego', type: 'character-device' })),
  'a folder': () => tarWith((tar) => tar.entry({ name: 'policies', type: 'directory' })),
  'a name that climbs': () => tarWith((tar) => tar.entry({ name: '../outside.rego' }, 'package x')),
  'a name that climbs inside': () => tarWith((tar) => tar.entry({ name: 'a/../../outside.rego' }, 'package x')),
  'a name with two slashes': () => tarWith((tar) => tar.entry({ name: '//etc/x.rego' }, 'package x')),
  'a name with a backslash': () => tarWith((tar) => tar.entry({ name: '..\\outside.rego' }, 'package x')),
  'a name twice': () => tarWith((tar, files) => tar.entry({ name: '/data.json' }, files.get('data.json')!.toString())),
  'a name twice, once without the slash': () => tarWith((tar) => tar.entry({ name: 'data.json' }, '{}')),
  'too many files': () =>
    tarWith((tar) => {
      for (let n = 0; n < 4200; n++) tar.entry({ name: `f${n}.rego` }, '');
    }),
};

test('a bundle checked against another input schema serves, and it is told', async () => {
  await withSource(async ({ events, open, put }) => {
    await put(await sign(serving));
    const source = await open();
    expect(events.map(({ event }) => event)).toEqual(['bundle_activated']);
    const other = manifest(({ metadata }) => {
      metadata.aegis.input_schema_sha256 = 'a'.repeat(64);
    });
    await put(await sign({ files: other }));
    expect((await source.refresh())?.manifest.metadata.aegis.sequence).toBe(6);
    expect(events.slice(1).map(({ event }) => event)).toEqual(['bundle_activated', 'bundle_schema_differs']);
    expect(events.at(-1)?.detail).toMatchObject({ checked_against: 'a'.repeat(64) });
  });
});

describe('a bundle that must not serve', () => {
  test(`there are ${Object.keys(MUTANTS).length} of them, at least 40`, () => {
    expect(Object.keys(MUTANTS).length).toBeGreaterThanOrEqual(40);
  });

  test('none activates, each is told once, and the serving bundle stays', async () => {
    await withSource(async ({ events, open, put }) => {
      await put(await sign(serving));
      const source = await open();
      const before = source.current;
      expect(before?.manifest.metadata.aegis.sequence).toBe(5);
      const activated: string[] = [];
      for (const [name, make] of Object.entries(MUTANTS)) {
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
      await put(await sign(serving, {}, stranger.privateKey));
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
      const source = await open();
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
      await writeFile(file, await sign(next, {}, stranger.privateKey));
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

import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { type Bundle, readBundle } from '../../../gateway/policy/bundle.ts';
import { CHECKOUT, requireCompiler } from '../../../gateway/policy/compiler.ts';
import { isDemoKey, trustsDemoKey } from '../../../gateway/policy/demo-key.ts';
import { runOpa } from '../../../gateway/policy/opa.ts';
import { signAndPack } from '../../../gateway/policy/pack.ts';
import { algorithmOf, readPublicKeys, verifySignature } from '../../../gateway/policy/signature.ts';
import { structuralHash } from '../../../gateway/policy/structural-hash.ts';
import { allowAll, compile, testKey, withFolder, writeFiles } from '../../support/policy-fixture.ts';

/** Numbers whose literals must be kept, keys that JavaScript orders otherwise, characters that Go escapes otherwise. */
const TRICKY = String.raw`{
  "b": [1, 2.50, -0, 1e21, 1E-7, 12345678901234567890, true, false, null, [], {}],
  "10": "ten",
  "9": "nine",
  "a": {"é😀": "<&>\u2028\u2029\u007f\"\\/\b\f\n\r\t\u0001", "": ""},
  "\ue000": 1,
  "😀": 2
}`;

describe('a signature', () => {
  let bundle: Bundle;
  beforeAll(async () => {
    bundle = await compile({ ...allowAll(), 'tricky/data.json': TRICKY });
  });

  test.each(['RS256', 'ES256'])(
    'in %s that we make is one that the compiler verifies, and that we do',
    async (algorithm) => {
      const { privateKey, publicKey } =
        algorithm === 'RS256'
          ? generateKeyPairSync('rsa', { modulusLength: 2048 })
          : generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const packed = await signAndPack(bundle, privateKey, {
        keyid: 'ours',
        scope: 'aegis',
        exp: 4_000_000_000,
        commit: 'abc',
      });
      const claims = await verifySignature(await readBundle(packed), new Map([['ours', publicKey]]));
      expect(claims).toEqual({ keyid: 'ours', scope: 'aegis', exp: 4_000_000_000, commit: 'abc' });
      await withFolder(async (folder) => {
        await writeFiles(folder, {
          'bundle.tar.gz': packed,
          'ours.pub.pem': publicKey.export({ type: 'spki', format: 'pem' }),
          'ours.key.pem': privateKey.export({ type: algorithm === 'RS256' ? 'pkcs1' : 'sec1', format: 'pem' } as never),
          'other.pub.pem': testKey().publicPem,
        });
        const args = (key: string): string[] => [
          ...[
            'build',
            '-b',
            'bundle.tar.gz',
            '-o',
            'again.tar.gz',
            '--verification-key',
            key,
            '--verification-key-id',
            'ours',
          ],
          ...['--scope', 'aegis', '--signing-alg', algorithm, '--signing-key', 'ours.key.pem'],
        ];
        const compiler = await requireCompiler();
        expect(await runOpa(compiler, args('ours.pub.pem'), folder)).toMatchObject({ code: 0 });
        expect((await runOpa(compiler, args('other.pub.pem'), folder)).code).not.toBe(0);
      });
    },
  );

  test('that the compiler made is one that we verify: the default bundle', async () => {
    const folder = join(CHECKOUT, 'bundles');
    const keys = await readPublicKeys([join(folder, 'keys', 'demo.pub.pem')]);
    const signed = await readBundle(await readFile(join(folder, 'default.tar.gz')));
    expect(await verifySignature(signed, keys)).toMatchObject({ keyid: 'demo', scope: 'aegis' });
  });

  test('by an RSA key has the same bytes each time', async () => {
    const { privateKey } = testKey();
    const [one, two] = [
      await signAndPack(bundle, privateKey, { keyid: 'k', scope: 'aegis' }),
      await signAndPack(bundle, privateKey, { keyid: 'k', scope: 'aegis' }),
    ];
    expect(one.equals(two)).toBe(true);
  });

  test('does not change the digest of what it signs', async () => {
    const digests = await Promise.all(
      [testKey(), testKey()].map(
        async ({ privateKey }) =>
          (await readBundle(await signAndPack(bundle, privateKey, { keyid: 'k', scope: 'aegis' }))).digest,
      ),
    );
    expect(digests).toEqual([bundle.digest, bundle.digest]);
  });

  test('needs a key that is strong enough and of a kind that signs bundles', () => {
    expect(() => algorithmOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)).toThrow(/2048/);
    expect(() => algorithmOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey)).toThrow(/P-256/);
    expect(() => algorithmOf(generateKeyPairSync('ed25519').publicKey)).toThrow();
  });
});

describe('readPublicKeys', () => {
  test('names a key by its file up to the first dot, and refuses doubles, private keys and other text', async () => {
    await withFolder(async (folder) => {
      const { publicPem, privatePem } = testKey();
      await writeFiles(folder, {
        'a.pub.pem': publicPem,
        'b/a.pem': publicPem,
        'c.pem': privatePem,
        'd.pem': 'no key',
      });
      const at = (name: string): string => join(folder, name);
      expect([...(await readPublicKeys([at('a.pub.pem')])).keys()]).toEqual(['a']);
      await expect(readPublicKeys([at('a.pub.pem'), at('b/a.pem')])).rejects.toThrow(/second key with the id "a"/);
      await expect(readPublicKeys([at('c.pem')])).rejects.toThrow(/private key where a public key is wanted/);
      await expect(readPublicKeys([at('d.pem')])).rejects.toThrow(/not a public key/);
    });
  });
});

describe('the demo key', () => {
  test('is known by its bytes, under any name', async () => {
    const file = join(CHECKOUT, 'bundles', 'keys', 'demo.pub.pem');
    expect(isDemoKey(await readFile(file, 'utf8'))).toBe(true);
    await withFolder(async (folder) => {
      await writeFiles(folder, {
        'production.pub.pem': await readFile(file, 'utf8'),
        'own.pub.pem': testKey().publicPem,
      });
      expect(trustsDemoKey(await readPublicKeys([join(folder, 'own.pub.pem')]))).toBe(false);
      expect(
        trustsDemoKey(await readPublicKeys([join(folder, 'own.pub.pem'), join(folder, 'production.pub.pem')])),
      ).toBe(true);
    });
  });
});

describe('structuralHash', () => {
  test('does not see the order of keys or white space, and sees everything else', () => {
    const hash = structuralHash('{"a":[1,"x"],"b":1.50}');
    expect(structuralHash('{ "b" : 1.50,\n "a":[1, "x"] }')).toBe(hash);
    for (const other of [
      '{"a":[1,"x"],"b":1.5}',
      '{"a":["x",1],"b":1.50}',
      '{"a":[1,"X"],"b":1.50}',
      '{"a":[1,"x"]}',
      '[]',
    ]) {
      expect(structuralHash(other)).not.toBe(hash);
    }
  });

  test('refuses a key that is there twice, at any depth and however it is written', () => {
    for (const text of [
      '{"a":1,"a":1}',
      '{"x":[{"a":1,"b":{},"a":2}]}',
      String.raw`{"a":1,"\u0061":2}`,
      '{"":1,"":2}',
    ]) {
      expect(() => structuralHash(text)).toThrow(/a key twice/);
    }
    const fine = String.raw`{"a":{"a":["a\":","b",{"a":1}]},"b\\":":","__proto__":{"c":"\"a\":1"}}`;
    expect(structuralHash(fine)).toMatch(/^[0-9a-f]{64}$/);
  });
});

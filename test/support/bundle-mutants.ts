import { generateKeyPairSync } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { MAX_BUNDLE_BYTES, SIGNATURES_FILE } from '../../gateway/policy/bundle.ts';
import { packFiles } from '../../gateway/policy/pack.ts';
import { type Forgery, flipped } from './bundle-forgery.ts';

/**
 * Bundles that must not serve, by what is wrong with them. `serving` of the same forgery is what serves meanwhile: some
 * are wrong only by following it.
 */
export const bundleMutants = (forgery: Forgery): Readonly<Record<string, () => Promise<Buffer> | Buffer>> => {
  const { key, stranger, next, newer, others, sign, changed, manifest, altered } = forgery;
  const { signOddly, tarWith, withSignatures, signaturesOf } = forgery;
  const mutants: Record<string, () => Promise<Buffer> | Buffer> = {
    'an empty file': () => Buffer.alloc(0),
    'a file larger than a bundle may be': () => Buffer.alloc(MAX_BUNDLE_BYTES + 1),
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
    'a number written with a fraction of nothing': () =>
      altered((files) => replaceIn(files, 'data.json', '100', '100.0')),
    'a key twice in the data': () => altered((files) => replaceIn(files, 'data.json', '{', '{"models":{},')),
    'another root': () => altered((files) => replaceIn(files, '.manifest', '"roots":[""]', '"roots":["x"]')),
    'one more field in the manifest': () => altered((files) => replaceIn(files, '.manifest', '{', '{"extra":1,')),
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
    'a signature that is cut off': async () =>
      withSignatures({ signatures: [(await signaturesOf(await sign(next)))[0]!.slice(0, -8)] }),
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
    'an expiry of a second ago': () => sign(next, { exp: Math.floor(Date.now() / 1000) - 1 }),
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
    'a later contract': () =>
      sign({ files: manifest((value) => Object.assign(value.metadata.aegis, { contract: 2 })) }),
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
    'a second tar behind the first': async () => {
      const more = await packFiles(new Map([['policies/more.rego', Buffer.from('package more')]]));
      return gzipSync(Buffer.concat([gunzipSync(await sign(next)), gunzipSync(more)]));
    },
    'a symbolic link': () =>
      tarWith((tar) => tar.entry({ name: 'link.rego', type: 'symlink', linkname: '/etc/passwd' })),
    'a hard link': () => tarWith((tar) => tar.entry({ name: 'link.rego', type: 'link', linkname: 'policy.wasm' })),
    'a device': () => tarWith((tar) => tar.entry({ name: 'null.rego', type: 'character-device' })),
    'a folder': () => tarWith((tar) => tar.entry({ name: 'policies', type: 'directory' })),
    'a name that climbs': () => tarWith((tar) => tar.entry({ name: '../outside.rego' }, 'package x')),
    'a name that climbs inside': () => tarWith((tar) => tar.entry({ name: 'a/../../outside.rego' }, 'package x')),
    'a name with two slashes': () => tarWith((tar) => tar.entry({ name: '//etc/x.rego' }, 'package x')),
    'a name with a backslash': () => tarWith((tar) => tar.entry({ name: '..\\outside.rego' }, 'package x')),
    'a name twice, once without the slash': () => tarWith((tar) => tar.entry({ name: 'data.json' }, '{}')),
    'too many files': () =>
      tarWith((tar) => {
        for (let n = 0; n < 4200; n++) tar.entry({ name: `f${n}.rego` }, '');
      }),
  };
  return { ...mutants, ...eachFile(forgery) };
};

const replaceIn = (files: Map<string, Buffer>, name: string, from: string, to: string): void => {
  const text = files.get(name)!.toString();
  if (!text.includes(from)) throw new Error(`${name} has no ${from}: the mutant is none`);
  files.set(name, Buffer.from(text.replace(from, to)));
};

/** What can be done to any file after the signature. */
const eachFile = ({ next, altered, tarWith }: Forgery): Record<string, () => Promise<Buffer>> => {
  const mutants: Record<string, () => Promise<Buffer>> = {};
  for (const [name, bytes] of next.files) {
    const put = (content: Buffer) => () => altered((files) => files.set(name, content));
    mutants[`${name}: its first bit flipped`] = put(flipped(bytes, 0));
    mutants[`${name}: a bit in the middle flipped`] = put(flipped(bytes, bytes.length >> 1));
    mutants[`${name}: cut off`] = put(bytes.subarray(0, -10));
    mutants[`${name}: empty`] = put(Buffer.alloc(0));
    mutants[`${name}: one byte more`] = put(Buffer.concat([bytes, Buffer.from('x')]));
    mutants[`${name}: not there`] = () => altered((files) => files.delete(name));
    mutants[`${name}: under another name`] = () =>
      altered((files) => {
        files.delete(name);
        files.set('policies/renamed.rego', bytes);
      });
    mutants[`${name}: twice`] = () => tarWith((tar) => tar.entry({ name: `/${name}` }, bytes));
  }
  return mutants;
};

import type { KeyObject } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { CompactSign } from 'jose';
import { pack } from 'tar-stream';
import { type Bundle, readBundle, SIGNATURES_FILE } from '../../gateway/policy/bundle.ts';
import { packFiles } from '../../gateway/policy/pack.ts';
import type { PublicKeys } from '../../gateway/policy/signature.ts';
import { allowAll, compile, resultOf, signFiles, testKey } from './policy-fixture.ts';

type Files = Map<string, Buffer>;

/** A bundle that serves, one that may follow it, and the tools that make others of that one. */
export interface Forgery {
  readonly key: ReturnType<typeof testKey>;
  /** Somebody whose key nobody trusts. */
  readonly stranger: ReturnType<typeof testKey>;
  readonly publicKeys: PublicKeys;
  /** Of sequence 5. */
  readonly serving: Bundle;
  /** Of sequence 6. */
  readonly next: Bundle;
  /** Of sequence 7. */
  readonly newer: Bundle;
  /** Bundles that compile and must not serve. */
  readonly others: Readonly<Record<string, Bundle>>;
  sign(bundle: { files: ReadonlyMap<string, Buffer> }, claims?: object, by?: KeyObject): Promise<Buffer>;
  /** The files of `next`, changed; for `sign`. */
  changed(change: (files: Files) => void): Files;
  /** The same with another manifest. */
  manifest(change: (value: Record<string, unknown> & { metadata: { aegis: Record<string, unknown> } }) => void): Files;
  /** `next` whose files change after the signature. */
  altered(change: (files: Files) => void): Promise<Buffer>;
  /** `next` signed by hand, so that header and payload can be anything. */
  signOddly(
    change: (payload: Record<string, unknown>) => void,
    header?: { alg: string },
    signer?: KeyObject | Uint8Array,
  ): Promise<Buffer>;
  /** `next` with more entries in its tar. */
  tarWith(add: (tar: ReturnType<typeof pack>, files: Files) => void): Promise<Buffer>;
  /** `next` with another file of signatures. */
  withSignatures(content: unknown): Promise<Buffer>;
  signaturesOf(packed: Buffer): Promise<string[]>;
}

/** Bytes with one bit changed. */
export const flipped = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = copy[at]! ^ 0x01;
  return copy;
};

/** Compiles the bundles. */
export const makeForgery = async (): Promise<Forgery> => {
  const key = testKey();
  const stranger = testKey();
  const serving = await compile(allowAll('sequence 5'), 5);
  const next = await compile(allowAll('sequence 6'), 6);
  const newer = await compile(allowAll('sequence 7'), 7);
  const denies = { ...allowAll(), 'models/data.json': '{"models":{}}' };
  const others = {
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

  const publicKeys = new Map([['test', key.publicKey]]);
  const bundles = { key, stranger, publicKeys, serving, next, newer, others };
  return { ...bundles, sign, changed, manifest, altered, signOddly, tarWith, withSignatures, signaturesOf };
};

const unpacked = async (packed: Buffer): Promise<Files> => new Map((await readBundle(packed)).files);

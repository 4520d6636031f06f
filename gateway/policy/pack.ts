import { createPrivateKey, type KeyObject } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type Bundle, SIGNATURES_FILE } from './bundle.ts';
import { type SignatureClaims, signBundle } from './signature.ts';

/**
 * Signs a bundle anew and packs it. With an RSA key the same bundle, key and claims give the same bytes; ES256 signatures
 * are random by design.
 */
export const signAndPack = async (bundle: Bundle, key: KeyObject, claims: SignatureClaims): Promise<Buffer> => {
  const files = new Map(bundle.files);
  files.set(SIGNATURES_FILE, await signBundle(files, key, claims));
  return packFiles(files);
};

/** A gzipped tar of files, as the compiler writes it: names with a leading slash, no times, no owners. */
export const packFiles = async (files: ReadonlyMap<string, Buffer>): Promise<Buffer> => {
  const tar = pack();
  for (const [name, bytes] of files) tar.entry({ name: `/${name}`, mode: 0o600, mtime: new Date(0) }, bytes);
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  return gzipSync(Buffer.concat(chunks), { level: 9 });
};

/** A private key from PEM text. Throws an Error that says what is wanted. */
export const readPrivateKey = (pem: string): KeyObject => {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new Error('not a private key in PEM form', { cause: error });
  }
};

import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { CompactSign, compactVerify, decodeProtectedHeader } from 'jose';
import { type Bundle, SIGNATURES_FILE, sha256 } from './bundle.ts';
import { structuralHash } from './structural-hash.ts';

/** The scope every Aegis bundle is signed for; a bundle of another system does not pass as ours. */
export const SCOPE = 'aegis';

/** Keys that may sign bundles, by their id. */
export type PublicKeys = ReadonlyMap<string, KeyObject>;

export type SignatureAlgorithm = 'RS256' | 'ES256';

/** What the signer said, beside the hashes. */
export interface SignatureClaims {
  keyid: string;
  scope: string;
  iss?: string;
  /** Seconds since 1970 after which the bundle is not activated. */
  exp?: number;
  [claim: string]: unknown;
}

/**
 * Verifies a bundle's signature in OPA's format and returns its claims. Refuses with an Error unless there is exactly one
 * signature, by a known key, of that key's own algorithm, for our scope, not expired, over exactly the files there are.
 */
export const verifySignature = async (bundle: Bundle, keys: PublicKeys, now = new Date()): Promise<SignatureClaims> => {
  const token = onlySignature(bundle);
  const unproven = parseJson(Buffer.from(token.split('.')[1] ?? '', 'base64url'), 'what is signed') as {
    keyid?: unknown;
  } | null;
  const keyid = unproven?.keyid;
  const key = typeof keyid === 'string' ? keys.get(keyid) : undefined;
  if (key === undefined) throw new Error(`signature: key ${JSON.stringify(keyid)} is not trusted`);
  const algorithm = algorithmOf(key);
  const stated = decodeProtectedHeader(token).alg;
  if (stated !== algorithm)
    throw new Error(`signature: algorithm ${JSON.stringify(stated)} where the key's is ${algorithm}`);
  let payload: Uint8Array;
  try {
    ({ payload } = await compactVerify(token, key, { algorithms: [algorithm] }));
  } catch (error) {
    throw new Error(`signature: not made by key ${JSON.stringify(keyid)}`, { cause: error });
  }
  const { files, ...claims } = parseJson(payload, 'what is signed') as { files?: unknown } & Record<string, unknown>;
  if (claims.scope !== SCOPE) throw new Error(`signature: scope ${JSON.stringify(claims.scope)} is not ${SCOPE}`);
  checkExpiry(claims.exp, now);
  compareFiles(bundle, files);
  return claims as SignatureClaims;
};

/** The bytes of `.signatures.json` for a bundle. `claims` may carry exp and own fields. */
export const signBundle = async (
  files: ReadonlyMap<string, Buffer>,
  key: KeyObject,
  claims: SignatureClaims,
): Promise<Buffer> => {
  const hashes = [...files.keys()]
    .filter((name) => name !== SIGNATURES_FILE)
    .sort()
    .map((name) => ({ name, hash: hashOf(name, files.get(name) as Buffer), algorithm: 'SHA-256' }));
  const payload = Buffer.from(JSON.stringify({ files: hashes, ...claims }));
  const header = { alg: algorithmOf(key), typ: 'JWT' };
  const token = await new CompactSign(payload).setProtectedHeader(header).sign(key);
  return Buffer.from(JSON.stringify({ signatures: [token] }));
};

/** The one algorithm a key is used with. Throws for keys that are too weak or of another kind. */
export const algorithmOf = (key: KeyObject): SignatureAlgorithm => {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= 2048) return 'RS256';
  if (key.asymmetricKeyType === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256';
  throw new Error('signature: only RSA keys of at least 2048 bits and EC keys on P-256 sign bundles');
};

/** Reads PEM files of public keys. A key's id is its file name up to the first dot. Throws on doubles and unfit keys. */
export const readPublicKeys = async (paths: readonly string[]): Promise<PublicKeys> => {
  const keys = new Map<string, KeyObject>();
  for (const path of paths) {
    const id = keyId(path);
    if (keys.has(id)) throw new Error(`${path}: a second key with the id ${JSON.stringify(id)}`);
    const pem = await readFile(path, 'utf8');
    if (pem.includes('PRIVATE KEY')) throw new Error(`${path}: a private key where a public key is wanted`);
    let key: KeyObject;
    try {
      key = createPublicKey(pem);
      algorithmOf(key);
    } catch (error) {
      throw new Error(`${path}: not a public key that can verify bundles (PEM; RSA from 2048 bits, or EC P-256)`, {
        cause: error,
      });
    }
    keys.set(id, key);
  }
  return keys;
};

/** The id of the key in a PEM file: its name up to the first dot. */
export const keyId = (path: string): string => basename(path).split('.')[0] as string;

const onlySignature = (bundle: Bundle): string => {
  const file = bundle.files.get(SIGNATURES_FILE);
  if (file === undefined) throw new Error('signature: the bundle is not signed');
  const value = parseJson(file, SIGNATURES_FILE) as { signatures?: unknown } | null;
  const signatures = value?.signatures;
  if (!Array.isArray(signatures) || signatures.length !== 1 || typeof signatures[0] !== 'string') {
    throw new Error('signature: not exactly one signature');
  }
  return signatures[0];
};

const parseJson = (bytes: Uint8Array, what: string): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`signature: ${what} is not JSON`, { cause: error });
  }
};

const checkExpiry = (exp: unknown, now: Date): void => {
  if (exp === undefined) return;
  if (typeof exp !== 'number' || !Number.isFinite(exp)) throw new Error('signature: exp is not a number');
  if (exp * 1000 <= now.getTime()) throw new Error(`signature: expired at ${new Date(exp * 1000).toISOString()}`);
};

/** OPA's rule: documents by structure, all else by bytes. */
const hashOf = (name: string, bytes: Buffer): string => {
  const document = name === 'data.json' || name === '.manifest';
  return document ? structuralHash(bytes.toString('utf8')) : sha256(bytes);
};

const compareFiles = (bundle: Bundle, signed: unknown): void => {
  if (!Array.isArray(signed)) throw new Error('signature: it names no files');
  const left = new Set([...bundle.files.keys()].filter((name) => name !== SIGNATURES_FILE));
  for (const entry of signed as { name?: unknown; hash?: unknown; algorithm?: unknown }[]) {
    const name = entry?.name;
    if (typeof name !== 'string' || !left.delete(name)) {
      throw new Error(`signature: ${JSON.stringify(name)} is signed and not in the bundle, or signed twice`);
    }
    if (entry.algorithm !== 'SHA-256') throw new Error(`signature: hash algorithm ${JSON.stringify(entry.algorithm)}`);
    if (entry.hash !== hashOf(name, bundle.files.get(name) as Buffer))
      throw new Error(`signature: ${name} was altered`);
  }
  const [extra] = left;
  if (extra !== undefined) throw new Error(`signature: ${JSON.stringify(extra)} is in the bundle and not signed`);
};

/** sha256 of a key's SPKI form in hex. */
export const fingerprint = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');

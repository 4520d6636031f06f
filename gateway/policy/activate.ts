import { readFileSync } from 'node:fs';
import { type Bundle, checkEntrypoints, readBundle, sha256 } from './bundle.ts';
import type { HighWaterMark } from './bundle-store.ts';
import { type PublicKeys, verifySignature } from './signature.ts';

/** This gateway's version, from package.json. */
export const GATEWAY_VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** Digest of the input schema that this gateway describes requests by. */
export const INPUT_SCHEMA_SHA256: string = sha256(readFileSync(new URL('../../schemas/input.json', import.meta.url)));

/** A bundle whose form, signature, expiry and version are right. Throws an Error that says what is wrong. */
export const verifyBundle = async (packed: Uint8Array, keys: PublicKeys, now = new Date()): Promise<Bundle> => {
  const bundle = await readBundle(packed);
  await verifySignature(bundle, keys, now);
  checkEntrypoints(bundle);
  const wanted = bundle.manifest.metadata.aegis.min_gateway;
  if (compareVersions(wanted, GATEWAY_VERSION) > 0) {
    throw new Error(`bundle: needs gateway ${wanted} or later, this is ${GATEWAY_VERSION}`);
  }
  return bundle;
};

/** Throws an Error unless a bundle may follow: never back, and never another bundle under the same number. */
export const checkOrder = (bundle: Bundle, mark: HighWaterMark | undefined): void => {
  if (mark === undefined || mark.digest === bundle.digest) return;
  const { sequence } = bundle.manifest.metadata.aegis;
  if (sequence < mark.sequence) {
    throw new Error(
      `bundle: sequence ${sequence} is below the high-water mark ${mark.sequence}; build it again to go back`,
    );
  }
  if (sequence === mark.sequence) {
    throw new Error(`bundle: sequence ${sequence} was already used for another bundle; build it with a higher one`);
  }
};

/** A bundle that may decide here: verified and in order. Throws an Error that says why not. */
export const activatableBundle = async (
  packed: Uint8Array,
  keys: PublicKeys,
  mark: HighWaterMark | undefined,
): Promise<Bundle> => {
  const bundle = await verifyBundle(packed, keys);
  checkOrder(bundle, mark);
  return bundle;
};

/** Order of versions such as 0.1.0; anything else is later than all, hence refused. */
const compareVersions = (left: string, right: string): number => {
  const parts = (version: string): number[] =>
    /^\d+\.\d+\.\d+$/.test(version) ? version.split('.').map(Number) : [Number.POSITIVE_INFINITY];
  const [a, b] = [parts(left), parts(right)];
  for (let index = 0; index < 3; index++) {
    const [one, other] = [a[index] ?? 0, b[index] ?? 0];
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
};

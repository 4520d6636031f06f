import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Bundle, readBundle, SIGNATURES_FILE } from '../policy/bundle.ts';
import { writeDurably } from '../policy/bundle-store.ts';
import { readPrivateKey, signAndPack } from '../policy/pack.ts';
import {
  algorithmOf,
  keyId,
  type PublicKeys,
  readPublicKeys,
  SCOPE,
  type SignatureClaims,
  verifySignature,
} from '../policy/signature.ts';
import { forPeople } from './cli-error.ts';
import { parseExpiry } from './expiry.ts';
import { PROVENANCE_CLAIMS, provenanceLines, provenanceOf } from './provenance.ts';
import { checkoutKeys } from './verify.ts';

interface SignFlags {
  key: string;
  alg?: string;
  keyid?: string;
  claims: Record<string, unknown>;
  expires?: Date;
  from?: string[];
  dropProvenance?: true;
  output?: string;
  json?: true;
}

/** `aegis sign`: replaces a bundle's signature, in OPA's format. Needs no compiler. */
export const signCommand = (): Command =>
  new Command('sign')
    .description("sign a bundle in OPA's format, replacing its signature")
    .argument('<file>', 'the bundle')
    .requiredOption('--key <pem>', 'private key, RSA from 2048 bits or EC P-256')
    .addOption(new Option('--alg <name>', "must be the key's (default: that)").choices(['RS256', 'ES256']))
    .option('--keyid <id>', "the public key's id at the gateways (default: the key's file name up to the first dot)")
    .option('--claims <json>', 'own claims as a JSON object, such as {"commit":"…"}', parseClaims, {})
    .option(
      '--expires <time>',
      '90d, or RFC 3339; later than that no gateway activates it (default: what its signature says)',
      parseExpiry,
    )
    .option(
      '--from <pem...>',
      'public keys that may have made the signature it has: where it comes from, and its expiry, are kept (default: bundles/keys/*.pub.pem and the key itself)',
    )
    .option('--drop-provenance', 'forget what the signature it has says of where it comes from, and its expiry')
    .option('-o, --output <file>', 'write here instead of over the bundle')
    .option('--json', 'print JSON')
    .action(forPeople(sign));

const RESERVED = ['files', 'keyid', 'scope', 'exp'];

const parseClaims = (text: string): Record<string, unknown> => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidArgumentError('want a JSON object');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidArgumentError('want a JSON object');
  const reserved = RESERVED.find((name) => Object.hasOwn(value, name));
  if (reserved !== undefined) throw new InvalidArgumentError(`${reserved} is set by other options`);
  return value as Record<string, unknown>;
};

const sign = async (file: string, flags: SignFlags): Promise<void> => {
  const bundle = await readBundle(await readFile(file));
  const key = readPrivateKey(await readFile(flags.key, 'utf8'));
  const algorithm = algorithmOf(key);
  if (flags.alg !== undefined && flags.alg !== algorithm) {
    throw new Error(`--alg ${flags.alg}: the key ${flags.key} signs with ${algorithm}`);
  }
  const keyid = flags.keyid ?? keyId(flags.key);
  const kept = flags.dropProvenance ? {} : await keptClaims(bundle, () => earlierKeys(flags.from, keyid, key));
  const twice = Object.keys(flags.claims).find((name) => Object.hasOwn(kept, name));
  if (twice !== undefined) {
    throw new Error(`--claims ${twice}: the bundle says that already, and who built it knows best (--drop-provenance)`);
  }
  const claims: SignatureClaims = { ...flags.claims, ...kept, keyid, scope: SCOPE };
  if (flags.expires !== undefined) claims.exp = Math.floor(flags.expires.getTime() / 1000);
  if (flags.expires === undefined && claims.exp !== undefined && claims.exp * 1000 <= Date.now()) {
    throw new Error(
      `it expired at ${new Date(claims.exp * 1000).toISOString()}: say until when it is to be good (--expires)`,
    );
  }
  const target = flags.output ?? file;
  await writeDurably(resolve(target), await signAndPack(bundle, key, claims));
  if (flags.json) {
    console.log(JSON.stringify({ file: target, digest: bundle.digest, algorithm, claims }));
    return;
  }
  const lines: [string, string][] = [
    ['signed', target],
    ['digest', bundle.digest],
    ['by', `${algorithm}, key ${claims.keyid}`],
    ...(claims.commit === undefined ? [] : provenanceLines(claims)),
    ['expires', claims.exp === undefined ? 'never' : new Date(claims.exp * 1000).toISOString()],
  ];
  for (const [name, value] of lines) console.log(`${name.padEnd(11)}${value}`);
};

const earlierKeys = async (from: string[] | undefined, keyid: string, key: KeyObject): Promise<PublicKeys> => {
  const keys = new Map(await readPublicKeys(from ?? (await checkoutKeys())));
  if (from === undefined && !keys.has(keyid)) keys.set(keyid, createPublicKey(key));
  return keys;
};

/**
 * What the signature that a bundle has says of where it comes from and until when it is good. Throws an Error when it says
 * something, and who signed that is not among the keys: another key would vouch for what nobody proved.
 */
const keptClaims = async (bundle: Bundle, readKeys: () => Promise<PublicKeys>): Promise<Record<string, unknown>> => {
  const said = saidClaims(bundle);
  if (![...PROVENANCE_CLAIMS, 'exp'].some((name) => Object.hasOwn(said, name))) return {};
  const keys = await readKeys();
  try {
    const claims = await verifySignature(bundle, keys, new Date(0)); // what expired can be signed anew
    return { ...provenanceOf(claims), ...(claims.exp !== undefined && { exp: claims.exp }) };
  } catch (error) {
    throw new Error(
      `the bundle says where it comes from or when it expires, and who says so is not known (${String((error as Error).message)})\n` +
        'name the public key that it was signed with (--from), or forget what it says (--drop-provenance)',
      { cause: error },
    );
  }
};

/** What a bundle's signature claims, proven or not; nothing where there is none. */
const saidClaims = ({ files }: Bundle): object => {
  try {
    const { signatures } = JSON.parse(String(files.get(SIGNATURES_FILE))) as { signatures: string[] };
    const payload: unknown = JSON.parse(Buffer.from(String(signatures[0]?.split('.')[1]), 'base64url').toString());
    return typeof payload === 'object' && payload !== null ? payload : {};
  } catch {
    return {};
  }
};

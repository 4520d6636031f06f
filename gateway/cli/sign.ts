import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { readBundle } from '../policy/bundle.ts';
import { writeDurably } from '../policy/bundle-store.ts';
import { readPrivateKey, signAndPack } from '../policy/pack.ts';
import { algorithmOf, keyId, SCOPE, type SignatureClaims } from '../policy/signature.ts';
import { forPeople } from './cli-error.ts';

interface SignFlags {
  key: string;
  alg?: string;
  keyid?: string;
  claims: Record<string, unknown>;
  expires?: Date;
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
    .option('--expires <time>', 'RFC 3339; later than that no gateway activates it', parseTime)
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

const parseTime = (text: string): Date => {
  const time = new Date(text);
  if (!/^\d{4}-\d\d-\d\d/.test(text) || Number.isNaN(time.getTime()))
    throw new InvalidArgumentError('want a time such as 2027-01-31T00:00:00Z');
  return time;
};

const sign = async (file: string, flags: SignFlags): Promise<void> => {
  const bundle = await readBundle(await readFile(file));
  const key = readPrivateKey(await readFile(flags.key, 'utf8'));
  const algorithm = algorithmOf(key);
  if (flags.alg !== undefined && flags.alg !== algorithm) {
    throw new Error(`--alg ${flags.alg}: the key ${flags.key} signs with ${algorithm}`);
  }
  const claims: SignatureClaims = { ...flags.claims, keyid: flags.keyid ?? keyId(flags.key), scope: SCOPE };
  if (flags.expires !== undefined) claims.exp = Math.floor(flags.expires.getTime() / 1000);
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
    ['expires', flags.expires?.toISOString() ?? 'never'],
  ];
  for (const [name, value] of lines) console.log(`${name.padEnd(11)}${value}`);
};

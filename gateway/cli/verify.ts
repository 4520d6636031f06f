import type { KeyObject } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { verifyBundle } from '../policy/activate.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import { isDemoKey } from '../policy/demo-key.ts';
import { createPolicy } from '../policy/engine.ts';
import { algorithmOf, readPublicKeys, type SignatureClaims, verifySignature } from '../policy/signature.ts';
import { forPeople } from './cli-error.ts';
import { expiryWarning } from './expiry.ts';
import { provenanceLines, provenanceOf } from './provenance.ts';

interface VerifyFlags {
  key?: string[];
  json?: true;
}

/** `aegis verify`: everything a gateway checks before it activates a bundle, but for the order of sequences. */
export const verifyCommand = (): Command =>
  new Command('verify')
    .description('check a bundle as a gateway does before it activates it')
    .argument('<file>', 'the bundle')
    .option('--key <pem...>', 'public keys that may have signed it (default: bundles/keys/*.pub.pem)')
    .option('--json', 'print JSON')
    .action(forPeople(verify));

const verify = async (file: string, flags: VerifyFlags): Promise<void> => {
  const keys = await readPublicKeys(flags.key ?? (await checkoutKeys()));
  try {
    const bundle = await verifyBundle(await readFile(file), keys);
    await createPolicy(bundle);
    const claims = await verifySignature(bundle, keys);
    const { revision, metadata } = bundle.manifest;
    const { sequence, min_gateway, rules } = metadata.aegis;
    const key = keys.get(claims.keyid) as KeyObject;
    const warnings = warningsOf(claims, key);
    if (flags.json) {
      const signer = { keyid: claims.keyid, algorithm: algorithmOf(key), iss: claims.iss ?? null };
      const provenance = provenanceOf(claims);
      const expires = claims.exp === undefined ? null : timeOf(claims.exp);
      const said = { signer, provenance, expires, warnings, claims };
      console.log(JSON.stringify({ file, ok: true, digest: bundle.digest, revision, sequence, ...said }));
      return;
    }
    const lines: [string, string][] = [
      ['good', file],
      ['revision', revision],
      ['sequence', String(sequence)],
      ['digest', bundle.digest],
      ['signed by', `key ${claims.keyid}, ${algorithmOf(key)}${claims.iss === undefined ? '' : ` (${claims.iss})`}`],
      ...provenanceLines(claims),
      ['expires', claims.exp === undefined ? 'never' : timeOf(claims.exp)],
      ['needs', `gateway ${min_gateway} or later`],
      ['rules', String(Object.keys(rules).length)],
    ];
    for (const [name, value] of lines) console.log(`${name.padEnd(11)}${value}`);
    for (const warning of warnings) console.log(`${'warning'.padEnd(11)}${warning}`);
  } catch (error) {
    const reason = String((error as { message?: unknown } | null)?.message ?? error);
    process.exitCode = 1;
    if (flags.json) console.log(JSON.stringify({ file, ok: false, reason }));
    else console.log(`${'bad'.padEnd(11)}${file}\n${'reason'.padEnd(11)}${reason}`);
  }
};

const timeOf = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** What is right, and worth a word all the same. */
const warningsOf = (claims: SignatureClaims, key: KeyObject): string[] => {
  const warnings = [expiryWarning(claims.exp, Date.now())];
  if (isDemoKey(key)) warnings.push('the demo key is public: anybody can sign with it');
  if (claims.dirty === true) warnings.push('it was built with changes that are in no commit');
  return warnings.filter((warning) => warning !== undefined);
};

/** The public keys of the checkout: those that its bundles may be signed with. */
export const checkoutKeys = async (): Promise<string[]> => {
  const folder = join(CHECKOUT, 'bundles', 'keys');
  return (await readdir(folder)).filter((name) => name.endsWith('.pub.pem')).map((name) => join(folder, name));
};

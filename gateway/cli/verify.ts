import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { verifyBundle } from '../policy/activate.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import { isDemoKey } from '../policy/demo-key.ts';
import { createPolicy } from '../policy/engine.ts';
import { readPublicKeys, verifySignature } from '../policy/signature.ts';
import { forPeople } from './cli-error.ts';

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
    if (flags.json) {
      console.log(JSON.stringify({ file, ok: true, digest: bundle.digest, revision, sequence, claims }));
      return;
    }
    const lines: [string, string][] = [
      ['good', file],
      ['revision', revision],
      ['sequence', String(sequence)],
      ['digest', bundle.digest],
      ['signed by', `key ${claims.keyid}${claims.iss === undefined ? '' : ` (${claims.iss})`}`],
      ['expires', claims.exp === undefined ? 'never' : new Date(claims.exp * 1000).toISOString()],
      ['needs', `gateway ${min_gateway} or later`],
      ['rules', String(Object.keys(rules).length)],
    ];
    for (const [name, value] of lines) console.log(`${name.padEnd(11)}${value}`);
    const key = keys.get(claims.keyid);
    if (key !== undefined && isDemoKey(key)) {
      console.log('note       the demo key is public: anybody can sign with it');
    }
  } catch (error) {
    const reason = String((error as { message?: unknown } | null)?.message ?? error);
    process.exitCode = 1;
    if (flags.json) console.log(JSON.stringify({ file, ok: false, reason }));
    else console.log(`${'bad'.padEnd(11)}${file}\n${'reason'.padEnd(11)}${reason}`);
  }
};

/** The public keys of the checkout: those that its bundles may be signed with. */
export const checkoutKeys = async (): Promise<string[]> => {
  const folder = join(CHECKOUT, 'bundles', 'keys');
  return (await readdir(folder)).filter((name) => name.endsWith('.pub.pem')).map((name) => join(folder, name));
};

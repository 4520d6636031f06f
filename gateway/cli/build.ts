import { createPublicKey } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { parseDocument } from 'yaml';
import { type BuiltBundle, buildBundle } from '../policy/build.ts';
import { type Bundle, readBundle, SIGNATURES_FILE } from '../policy/bundle.ts';
import { createBundleStore, writeDurably } from '../policy/bundle-store.ts';
import { CHECKOUT, requireCompiler } from '../policy/compiler.ts';
import { isDemoKey } from '../policy/demo-key.ts';
import { readPrivateKey } from '../policy/pack.ts';
import { algorithmOf, keyId, SCOPE } from '../policy/signature.ts';
import { ROLLOUT_FILE } from '../policy/source.ts';
import { forPeople } from './cli-error.ts';

interface BuildFlags {
  output?: string;
  sequence?: number;
  key: string;
  check?: true;
  json?: true;
}

const BUNDLES = join(CHECKOUT, 'bundles');
const DEFAULT_BUNDLE = 'default.tar.gz';
const DEMO_KEY = join(BUNDLES, 'keys', 'demo.key.pem');

/** `aegis build`: policies → a signed bundle that gateways converge on. */
export const buildCommand = (): Command =>
  new Command('build')
    .description('compile policies into a signed bundle; unchanged policies change nothing')
    .argument('[policies]', 'folder of the policies', join(CHECKOUT, 'policies'))
    .option(
      '-o, --output <file>',
      `write here instead of bundles/${DEFAULT_BUNDLE} and leave bundles/${ROLLOUT_FILE} alone`,
    )
    .option('--sequence <n>', 'order of the bundle (default: one more than any known)', parseSequence)
    .option('--key <pem>', 'private key that signs, RSA or EC P-256', DEMO_KEY)
    .option('--check', 'write nothing; exit 1 unless the bundle is byte for byte what the policies compile to')
    .option('--json', 'print JSON')
    .action(forPeople(build));

const build = async (policies: string, flags: BuildFlags): Promise<void> => {
  const target = resolve(flags.output ?? join(BUNDLES, DEFAULT_BUNDLE));
  const folder = resolve(policies);
  const compiler = await requireCompiler((line) => console.error(line));
  const privateKey = readPrivateKey(await readFile(flags.key, 'utf8'));
  const algorithm = algorithmOf(privateKey);
  const demo = isDemoKey(createPublicKey(privateKey));
  const claims = { keyid: keyId(flags.key), scope: SCOPE, iss: demo ? 'aegis demo' : 'aegis build' };
  const make = (sequence: number): Promise<BuiltBundle> =>
    buildBundle({ policies: folder, sequence, compiler, signing: { keyFile: resolve(flags.key), algorithm, claims } });

  const present = await readPresent(target);
  if (present !== undefined && (flags.check || flags.sequence === undefined)) {
    const again = await make(present.manifest.metadata.aegis.sequence);
    const differences = compare(present, again.bundle);
    if (flags.check) return reportCheck(flags, target, differences);
    if (differences.length === 0) return reportBuild(flags, target, again.bundle, 'unchanged', []);
  }
  if (flags.check) return reportCheck(flags, target, ['there is no bundle']);

  const built = await make(flags.sequence ?? (await nextSequence()));
  await writeDurably(target, built.packed);
  if (flags.output === undefined) await setStable(DEFAULT_BUNDLE);
  const signer = `${algorithm} by key ${claims.keyid}${demo ? ' (the public demo key: for loopback only)' : ''}`;
  const notes = [['signed', signer] as const, ['size', `${Math.ceil(built.packed.length / 1024)} KB`] as const];
  reportBuild(flags, target, built.bundle, 'built', notes);
};

const parseSequence = (text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('want a whole number from 1');
  return value;
};

const readPresent = async (file: string): Promise<Bundle | undefined> => {
  try {
    return await readBundle(await readFile(file));
  } catch {
    return undefined; // missing or damaged: built anew
  }
};

/** Names of the files that differ. The signature is not compared: a release's carries its own claims. */
const compare = (left: Bundle, right: Bundle): string[] => {
  const names = new Set([...left.files.keys(), ...right.files.keys()]);
  names.delete(SIGNATURES_FILE);
  return [...names].filter((name) => !same(left.files.get(name), right.files.get(name))).sort();
};

const same = (left: Buffer | undefined, right: Buffer | undefined): boolean =>
  left !== undefined && right !== undefined && left.equals(right);

/** One more than any bundle of the checkout has, and than this home ever activated. */
const nextSequence = async (): Promise<number> => {
  let highest = 0;
  for (const name of await readdir(BUNDLES)) {
    if (!name.endsWith('.tar.gz')) continue;
    const bundle = await readPresent(join(BUNDLES, name));
    highest = Math.max(highest, bundle?.manifest.metadata.aegis.sequence ?? 0);
  }
  const home = resolve(process.env.AEGIS_HOME ?? join(CHECKOUT, '.aegis'));
  const mark = await createBundleStore(home).readMark();
  return Math.max(highest, mark?.sequence ?? 0) + 1;
};

/** Sets `stable` and keeps the rest of the file with its comments. */
const setStable = async (name: string): Promise<void> => {
  const file = join(BUNDLES, ROLLOUT_FILE);
  let text = '';
  try {
    text = await readFile(file, 'utf8');
  } catch {
    text = '# yaml-language-server: $schema=../schemas/rollout.json\n# What gateways converge on.\nstable: ""\n';
  }
  const document = parseDocument(text);
  if (document.get('stable') === name) return;
  document.set('stable', name);
  await writeDurably(file, Buffer.from(document.toString()));
};

const reportCheck = (flags: BuildFlags, target: string, differences: string[]): void => {
  const file = relative(process.cwd(), target);
  if (differences.length > 0) process.exitCode = 1;
  if (flags.json) {
    console.log(JSON.stringify({ file, ok: differences.length === 0, differences }));
    return;
  }
  if (differences.length === 0) {
    console.log(`${file} is what the policies compile to`);
    return;
  }
  console.log(`${file} is not what the policies compile to: ${differences.join(', ')}\nrun: aegis build`);
};

const reportBuild = (
  flags: BuildFlags,
  target: string,
  bundle: Bundle,
  status: 'built' | 'unchanged',
  notes: (readonly [string, string])[],
): void => {
  const file = relative(process.cwd(), target);
  const { revision, metadata } = bundle.manifest;
  const { sequence } = metadata.aegis;
  if (flags.json) {
    console.log(JSON.stringify({ status, file, revision, sequence, digest: bundle.digest }));
    return;
  }
  const lines = [
    [status, file],
    ['revision', revision],
    ['sequence', String(sequence)],
    ['digest', bundle.digest],
    ...notes,
  ];
  for (const [name, value] of lines) console.log(`${name?.padEnd(11)}${value}`);
};

import { createPublicKey, type KeyObject } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type BuiltBundle, buildBundle } from '../policy/build.ts';
import { type Bundle, readBundle, SIGNATURES_FILE } from '../policy/bundle.ts';
import { createBundleStore, writeDurably } from '../policy/bundle-store.ts';
import { CHECKOUT, requireCompiler } from '../policy/compiler.ts';
import { isDemoKey } from '../policy/demo-key.ts';
import { readPrivateKey, signAndPack } from '../policy/pack.ts';
import { algorithmOf, keyId, SCOPE, type SignatureAlgorithm, type SignatureClaims } from '../policy/signature.ts';
import { ROLLOUT_FILE } from '../policy/source.ts';
import { forPeople } from './cli-error.ts';
import { parseExpiry } from './expiry.ts';
import { policiesFolder } from './policies-folder.ts';
import { provenanceLines } from './provenance.ts';
import { buildRelease, type ReleaseOptions } from './release.ts';
import { refuseUnderRollout, setStable } from './stable-file.ts';

interface BuildFlags {
  output?: string;
  sequence?: number;
  key: string;
  check?: true;
  release?: true;
  allowDirty?: true;
  expires?: Date;
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
    .addOption(
      new Option(
        '--release',
        'sign where it comes from: commit, builder, tests; refuses changes that are in no commit, and what check or test fail',
      ).conflicts('check'),
    )
    .option('--allow-dirty', 'of a release: build with changes that are in no commit, and say so in the bundle')
    .option('--expires <time>', 'of a release: 90d, or RFC 3339; later than that no gateway activates it', parseExpiry)
    .option('--check', 'write nothing; exit 1 unless the bundle is byte for byte what the policies compile to')
    .option('--json', 'print JSON')
    .action(forPeople(build));

const build = async (policies: string, flags: BuildFlags): Promise<void> => {
  if (!flags.release && (flags.expires !== undefined || flags.allowDirty)) {
    throw new Error('--expires and --allow-dirty are of a release: add --release');
  }
  const target = resolve(flags.output ?? join(BUNDLES, DEFAULT_BUNDLE));
  const folder = await policiesFolder(policies);
  const compiler = await requireCompiler((line) => console.error(line));
  const signer = await readSigner(flags.key);
  const makePlain = (sequence: number): Promise<BuiltBundle> =>
    buildBundle({ policies: folder, sequence, compiler, signing: { ...signer, keyFile: resolve(flags.key) } });

  const present = await readPresent(target);
  let { sequence } = flags;
  if (present !== undefined && (flags.check || sequence === undefined)) {
    const presentSequence = present.manifest.metadata.aegis.sequence;
    const again = await makePlain(presentSequence);
    const differences = compare(present, again.bundle);
    if (flags.check) return reportCheck(flags, target, differences);
    if (differences.length === 0) {
      if (!flags.release) return reportBuild(flags, target, again.bundle, 'unchanged', []);
      sequence = presentSequence; // the same bundle, with a signature that says more
    }
  }
  if (flags.check) return reportCheck(flags, target, ['there is no bundle']);

  await refuseUnderRollout(target, flags.output === undefined);
  sequence ??= await nextSequence();
  const ours = [target, join(dirname(target), ROLLOUT_FILE)];
  const release = flags.release
    ? await makeRelease(
        { policies: folder, sequence, compiler, allowDirty: flags.allowDirty ?? false, ours },
        signer,
        flags,
      )
    : { ...(await makePlain(sequence)), notes: [] };
  await writeDurably(target, release.packed);
  if (flags.output === undefined) await setStable(BUNDLES, DEFAULT_BUNDLE);
  const size = ['size', `${Math.ceil(release.packed.length / 1024)} KB`] as const;
  reportBuild(flags, target, release.bundle, 'built', [['signed', signer.text], ...release.notes, size]);
};

interface Signer {
  key: KeyObject;
  algorithm: SignatureAlgorithm;
  claims: SignatureClaims;
  /** For people. */
  text: string;
}

const readSigner = async (file: string): Promise<Signer> => {
  const key = readPrivateKey(await readFile(file, 'utf8'));
  const algorithm = algorithmOf(key);
  const demo = isDemoKey(createPublicKey(key));
  const claims = { keyid: keyId(file), scope: SCOPE, iss: demo ? 'aegis demo' : 'aegis build' };
  const text = `${algorithm} by key ${claims.keyid}${demo ? ' (the public demo key: for loopback only)' : ''}`;
  return { key, algorithm, claims, text };
};

/** A release, signed with what it says of itself. */
const makeRelease = async (
  options: ReleaseOptions,
  { key, claims }: Signer,
  { expires }: BuildFlags,
): Promise<BuiltBundle & { notes: [string, string][] }> => {
  const { built, provenance } = await buildRelease(options);
  const signed: SignatureClaims = { ...claims, ...provenance };
  if (expires !== undefined) signed.exp = Math.floor(expires.getTime() / 1000);
  const packed = await signAndPack(built.bundle, key, signed);
  const until: [string, string] = ['expires', expires?.toISOString() ?? 'never'];
  return { packed, bundle: built.bundle, notes: [...provenanceLines(signed), until] };
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

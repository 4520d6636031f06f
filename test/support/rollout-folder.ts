import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planOf, type RolloutPlan } from '../../gateway/policy/rollout-plan.ts';
import { ROLLOUT_FILE } from '../../gateway/policy/source.ts';
import type { BundleRef, Rollout } from '../../gateway/types.gen.ts';
import { allowAll, compile, signFiles, testKey, writeFiles } from './policy-fixture.ts';

/** A folder as bundles/ is: stable.tar.gz (sequence 4), next.tar.gz (5), old.tar.gz (3) and a key. */
export interface RolloutFolder {
  readonly bundles: string;
  readonly home: string;
  readonly refs: Readonly<Record<'stable' | 'next' | 'old', BundleRef>>;
  readonly publicKey: string;
  write(text: string): Promise<void>;
  text(): Promise<string>;
  /** Of a desired state that names these bundles. */
  plan(desired: Rollout): RolloutPlan;
  remove(): Promise<void>;
}

/** Makes one, with `stable.tar.gz` as stable and no candidate. */
export const makeRolloutFolder = async (): Promise<RolloutFolder> => {
  const root = await mkdtemp(join(tmpdir(), 'aegis-rollout-'));
  const bundles = join(root, 'bundles');
  const { privateKey, publicPem } = testKey();
  const made = async (name: string, sequence: number): Promise<BundleRef> => {
    const bundle = await compile(allowAll(name), sequence);
    await writeFiles(bundles, { [`${name}.tar.gz`]: await signFiles(bundle.files, privateKey) });
    return { revision: bundle.manifest.revision, digest: bundle.digest };
  };
  const [old, stable, next] = [await made('old', 3), await made('stable', 4), await made('next', 5)];
  const publicKey = join(bundles, 'keys', 'test.pub.pem');
  await writeFiles(bundles, { 'keys/test.pub.pem': publicPem });
  const file = join(bundles, ROLLOUT_FILE);
  const refs = { stable, next, old };
  await writeFile(file, 'stable: stable.tar.gz\n');
  return {
    bundles,
    home: join(root, 'home'),
    refs,
    publicKey,
    write: (text) => writeFile(file, text),
    text: () => readFile(file, 'utf8'),
    plan: (desired) => planOf(desired, stable.digest, next.digest),
    remove: () => rm(root, { recursive: true, force: true }),
  };
};

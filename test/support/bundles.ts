import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { buildBundle } from '../../gateway/policy/build.ts';
import { writeDurably } from '../../gateway/policy/bundle-store.ts';
import { requireCompiler } from '../../gateway/policy/compiler.ts';
import { SCOPE } from '../../gateway/policy/signature.ts';
import type { Rollout } from '../../gateway/types.gen.ts';
import { ROOT } from './gateway.ts';

/** Changes of a copy of policies/: each is applied to one file and must change it. A new file is made of ''. */
export type Edits = Readonly<Record<string, (text: string) => string>>;

/** A folder of bundles of a test's own, built from an edited copy of policies/ and signed with the demo key. */
export interface TestBundles {
  readonly folder: string;
  /** The part of a gateway's config that makes it follow this folder. */
  readonly config: { readonly bundles: { source: string; public_keys: string[]; poll_s: number } };
  /** Builds the policies with these edits as the next sequence and rolls it out. Gives the revision. */
  rollOut(edits?: Edits): Promise<string>;
  /** Builds them as the next sequence into a file of the folder, and changes nothing else. Gives the revision. */
  build(file: string, edits?: Edits): Promise<string>;
  /** Writes rollout.yaml. */
  desire(rollout: Rollout): Promise<void>;
  /** Puts bytes in the place of the bundle that serves. */
  put(packed: Uint8Array): Promise<void>;
  packed(): Promise<Buffer>;
  remove(): Promise<void>;
}

/** Makes the folder; nothing is in it before the first `rollOut`. */
export const openTestBundles = async (): Promise<TestBundles> => {
  const folder = await mkdtemp(join(tmpdir(), 'aegis-bundles-'));
  const compiler = await requireCompiler();
  let sequence = 1_000;
  const file = join(folder, 'test.tar.gz');
  const put = async (packed: Uint8Array): Promise<void> => {
    await writeDurably(file, packed);
    await writeFile(join(folder, 'rollout.yaml'), 'stable: "test.tar.gz"\n');
  };
  const build = async (edits: Edits): Promise<{ packed: Buffer; revision: string }> => {
    const policies = await mkdtemp(join(tmpdir(), 'aegis-policies-'));
    try {
      await cp(join(ROOT, 'policies'), policies, { recursive: true });
      for (const [name, edit] of Object.entries(edits)) {
        const before = await readFile(join(policies, name), 'utf8').catch(() => '');
        const after = edit(before);
        if (after === before) throw new Error(`the edit of ${name} changes nothing`);
        if (before === '') await mkdir(dirname(join(policies, name)), { recursive: true });
        await writeFile(join(policies, name), after);
      }
      const signing = {
        keyFile: join(ROOT, 'bundles/keys/demo.key.pem'),
        algorithm: 'RS256',
        claims: { keyid: 'demo', scope: SCOPE, iss: 'aegis test' },
      };
      sequence++;
      const { packed, bundle } = await buildBundle({ policies, sequence, compiler, signing });
      return { packed, revision: bundle.manifest.revision };
    } finally {
      await rm(policies, { recursive: true, force: true });
    }
  };
  return {
    folder,
    config: {
      bundles: { source: folder, public_keys: [join(ROOT, 'bundles/keys/demo.pub.pem')], poll_s: 0.2 },
    },
    async rollOut(edits = {}) {
      const { packed, revision } = await build(edits);
      await put(packed);
      return revision;
    },
    async build(name, edits = {}) {
      const { packed, revision } = await build(edits);
      await writeDurably(join(folder, name), packed);
      return revision;
    },
    desire: (rollout) => writeDurably(join(folder, 'rollout.yaml'), Buffer.from(stringify(rollout))),
    put,
    packed: () => readFile(file),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
};

import { type BuiltBundle, buildBundle, sourcesRevision } from '../policy/build.ts';
import { checkPolicies } from '../policy/check.ts';
import type { Compiler } from '../policy/compiler.ts';
import { placeOf } from '../policy/finding.ts';
import { type GitState, gitStateOf } from './git-state.ts';
import { builder, type Provenance, testsDigest } from './provenance.ts';
import { runAllTests } from './run-all-tests.ts';

export interface ReleaseOptions {
  /** Folder of the policies. */
  policies: string;
  sequence: number;
  compiler: Compiler;
  /** Whether the working tree may have changes; the release then says so. */
  allowDirty: boolean;
  /** Files that this build writes: they do not count as changes. */
  ours: readonly string[];
}

/**
 * Builds a bundle that says where it comes from, not signed yet. Throws an Error unless the working tree is as in its
 * commit, and check and tests of those very sources pass.
 */
export const buildRelease = async (
  options: ReleaseOptions,
): Promise<{ built: BuiltBundle; provenance: Provenance }> => {
  const { policies, sequence, compiler, allowDirty, ours } = options;
  const before = await gitStateOf(policies, ours);
  if (!allowDirty) refuseChanges(before);
  await refuseFindings(policies, compiler);
  const built = await buildBundle({ policies, sequence, compiler });
  const tests = await passedTests(policies, compiler, built);
  // Tests take a while: what they read must be what was built.
  const after = await gitStateOf(policies, ours);
  const isSame = before.commit === after.commit && before.changed.join('\0') === after.changed.join('\0');
  if (!isSame || (await sourcesRevision(policies)) !== built.bundle.manifest.revision) {
    throw new Error(`${policies}: it changed while it was tested; build again`);
  }
  const provenance: Provenance = {
    commit: before.commit,
    ...(before.changed.length > 0 && { dirty: true }),
    builder: builder(),
    tests,
    iat: Math.floor(Date.now() / 1000),
  };
  return { built, provenance };
};

const refuseChanges = ({ commit, changed }: GitState): void => {
  if (changed.length === 0) return;
  const shown = changed.slice(0, 5).join(', ');
  throw new Error(
    `the working tree is not commit ${commit.slice(0, 12)}: ${shown}${changed.length > 5 ? ` and ${changed.length - 5} more` : ''}\n` +
      'commit what belongs to it, move away what does not; --allow-dirty builds all the same, and the bundle says so',
  );
};

const refuseFindings = async (policies: string, compiler: Compiler): Promise<void> => {
  const errors = (await checkPolicies(policies, compiler)).filter(({ level }) => level === 'error');
  if (errors.length === 0) return;
  const lines = errors.slice(0, 5).map((finding) => `${placeOf(finding)}  ${finding.why}`);
  const count = errors.length === 1 ? '1 error' : `${errors.length} errors`;
  throw new Error(`no release: ./aegis check finds ${count}\n${lines.join('\n')}`);
};

const passedTests = async (
  policies: string,
  compiler: Compiler,
  { bundle }: BuiltBundle,
): Promise<Provenance['tests']> => {
  const { ok, suites } = await runAllTests(policies, compiler, { bundle });
  const results = suites.flatMap((suite) => suite.results);
  const failed = results.filter((result) => !result.ok);
  const skipped = suites.find((suite) => suite.skipped !== undefined);
  if (ok && failed.length === 0 && skipped === undefined) {
    return { passed: results.length, sha256: testsDigest(results) };
  }
  if (skipped !== undefined) throw new Error(`no release: the tests ${skipped.name} were not run: ${skipped.skipped}`);
  const names = failed.slice(0, 5).map(({ suite, name }) => `${suite}: ${name}`);
  throw new Error(`no release: ${failed.length} of ${results.length} tests fail (./aegis test)\n${names.join('\n')}`);
};

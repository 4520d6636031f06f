import { GATEWAY_VERSION } from '../policy/activate.ts';
import { sha256 } from '../policy/bundle.ts';
import { OPA_VERSION } from '../policy/compiler.ts';
import type { SignatureClaims } from '../policy/signature.ts';
import type { TestResult } from '../policy/test-result.ts';

/** Where a bundle comes from, as its signer says: claims of the signature. */
export interface Provenance {
  /** The git commit that its sources are. */
  readonly commit: string;
  /** There when the working tree was not as in that commit. */
  readonly dirty?: true;
  /** Versions of what built it. */
  readonly builder: string;
  readonly tests: {
    readonly passed: number;
    /** See testsDigest. */
    readonly sha256: string;
  };
  /** When it was built, seconds since 1970. */
  readonly iat: number;
}

/** Names of the claims that say where a bundle comes from. They stay when another key signs it. */
export const PROVENANCE_CLAIMS = ['commit', 'dirty', 'builder', 'tests', 'iat'] as const;

/** The versions that go into a bundle's bytes. */
export const builder = (): string => `aegis ${GATEWAY_VERSION}, opa ${OPA_VERSION}, node ${process.versions.node}`;

/**
 * sha256 over the results of all tests: lines of suite, name and true or false with tabs between, sorted by their bytes,
 * each with its end. Anybody with the sources can make it again:
 * `./aegis test --json | jq -r '.results[] | [.suite, .name, (.ok | tostring)] | join("\t")' | LC_ALL=C sort | sha256sum`.
 */
export const testsDigest = (results: readonly Pick<TestResult, 'suite' | 'name' | 'ok'>[]): string => {
  const lines = results.flatMap(({ suite, name, ok }) => `${suite}\t${name}\t${ok}`.split('\n'));
  const sorted = lines.map((line) => Buffer.from(`${line}\n`)).sort(Buffer.compare);
  return sha256(Buffer.concat(sorted));
};

/** The claims about where a bundle comes from that are there, whatever they are. */
export const provenanceOf = (claims: SignatureClaims): Record<string, unknown> =>
  Object.fromEntries(PROVENANCE_CLAIMS.filter((name) => name in claims).map((name) => [name, claims[name]]));

/** Lines for people; of a bundle that does not say where it comes from, one that says so. */
export const provenanceLines = (claims: SignatureClaims): [string, string][] => {
  const { commit, dirty, builder: built, tests, iat } = claims as Partial<Record<string, unknown>>;
  if (commit === undefined) return [['commit', 'not said: made without --release']];
  const { passed, sha256: digest } = (tests ?? {}) as { passed?: unknown; sha256?: unknown };
  const lines: [string, string][] = [
    ['commit', `${commit}${dirty === true ? ' and changes that are in no commit' : ''}`],
  ];
  if (built !== undefined) lines.push(['builder', String(built)]);
  if (tests !== undefined) lines.push(['tests', `${passed} passed, sha256 ${digest}`]);
  if (typeof iat === 'number') lines.push(['built', new Date(iat * 1000).toISOString()]);
  return lines;
};

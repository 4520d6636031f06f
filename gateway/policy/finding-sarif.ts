import { createHash } from 'node:crypto';
import { CHECKS, checkNamed } from './check-catalogue.ts';
import type { Finding } from './finding.ts';

/** What the log says besides its findings. */
export interface SarifOptions {
  /** The gateway's version. */
  version: string;
  /** From the repository's root to the folder that findings' files are relative to; empty when it is the root. */
  prefix: string;
}

/**
 * Findings as a SARIF log, version 2.1.0 (OASIS, sarif-schema-2.1.0.json), as GitHub's code scanning reads it: paths from
 * the repository's root, a rule for each check with its help, a fingerprint that survives moved lines.
 */
export const findingsSarif = (findings: readonly Finding[], { version, prefix }: SarifOptions): object => {
  const ids = [...new Set([...Object.keys(CHECKS), ...findings.map(({ check }) => check)])];
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'aegis check', semanticVersion: version, rules: ids.map(ruleOf) } },
        columnKind: 'unicodeCodePoints',
        results: findings.map((finding) => resultOf(finding, ids.indexOf(finding.check), prefix)),
      },
    ],
  };
};

const ruleOf = (id: string): object => {
  const { level, title, help } = checkNamed(id);
  return {
    id,
    shortDescription: { text: title },
    fullDescription: { text: help },
    help: { text: help, markdown: `${help}\n\nSee docs/policy-guide.md, “Traps”.` },
    defaultConfiguration: { level },
  };
};

const resultOf = (
  { file, line, column, check, level, why, fix }: Finding,
  ruleIndex: number,
  prefix: string,
): object => ({
  ruleId: check,
  ruleIndex,
  level,
  message: { text: `${why}. Fix: ${fix}` },
  locations: [
    {
      physicalLocation: {
        artifactLocation: { uri: uriOf(prefix === '' ? file : `${prefix}/${file}`) },
        // What concerns a whole file is shown at its top: code scanning shows nothing without a line.
        region: {
          startLine: Math.max(1, line),
          ...(column === undefined || column < 1 ? {} : { startColumn: column }),
        },
      },
    },
  ],
  partialFingerprints: { 'aegisFinding/v1': createHash('sha256').update(`${file}\n${check}\n${why}`).digest('hex') },
});

const uriOf = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { Command, Option } from 'commander';
import { checkPolicies } from '../policy/check.ts';
import { CHECKOUT, requireCompiler } from '../policy/compiler.ts';
import type { Finding, Level } from '../policy/finding.ts';
import { findingsMarkdown } from '../policy/finding-markdown.ts';
import { findingsSarif } from '../policy/finding-sarif.ts';
import { findingsText } from '../policy/finding-text.ts';
import { forPeople } from './cli-error.ts';
import { packageVersion } from './package-version.ts';
import { policiesFolder } from './policies-folder.ts';

interface CheckFlags {
  json?: true;
  sarif?: string;
  markdown?: string;
  failOn: Level;
}

/** `aegis check`: what can be said of policies without running them. */
export const checkCommand = (): Command =>
  new Command('check')
    .description('check the policies: format, types, fail-open traps, names, rules that never fire, data')
    .argument('[policies]', 'folder of the policies', resolve(CHECKOUT, 'policies'))
    .addOption(
      new Option('--fail-on <level>', 'what counts for the exit status').choices(['error', 'warning']).default('error'),
    )
    .addOption(new Option('--json', 'print JSON').conflicts('markdown'))
    .option('--sarif <file>', 'write the findings as SARIF 2.1.0, for code scanning')
    .option('--markdown <file>', 'write the findings as a comment for a pull request; - prints it instead of the text')
    .action(forPeople(check));

const check = async (folder: string, flags: CheckFlags): Promise<void> => {
  const policies = await policiesFolder(folder);
  const compiler = await requireCompiler((line) => console.error(line));
  const findings = await checkPolicies(policies, compiler);
  const ok = !findings.some(({ level }) => level === 'error' || flags.failOn === 'warning');
  if (!ok) process.exitCode = 1;
  if (flags.sarif !== undefined) await writeFile(flags.sarif, sarifOf(findings, policies));
  if (flags.markdown === '-') return void process.stdout.write(findingsMarkdown(findings));
  if (flags.markdown !== undefined) await writeFile(flags.markdown, findingsMarkdown(findings));
  console.log(flags.json ? JSON.stringify({ ok, findings }) : findingsText(findings));
};

const sarifOf = (findings: readonly Finding[], policies: string): string =>
  `${JSON.stringify(findingsSarif(findings, { version: packageVersion(), prefix: prefixOf(policies) }), null, 2)}\n`;

/** From the git checkout that the policies are in to their folder's parent; empty outside of one. */
const prefixOf = (policies: string): string => {
  const parent = dirname(policies);
  for (let folder = parent; ; folder = dirname(folder)) {
    // A worktree has a file of that name.
    if (existsSync(join(folder, '.git'))) return relative(folder, parent).split(sep).join('/');
    if (folder === dirname(folder)) return '';
  }
};

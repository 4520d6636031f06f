import { resolve } from 'node:path';
import { Command } from 'commander';
import { checkPolicies } from '../policy/check.ts';
import { CHECKOUT, requireCompiler } from '../policy/compiler.ts';
import { placeOf } from '../policy/finding.ts';
import { forPeople } from './cli-error.ts';

/** `aegis check`: what can be said of policies without running them. */
export const checkCommand = (): Command =>
  new Command('check')
    .description('check the policies: format, types, fail-open traps, data')
    .argument('[policies]', 'folder of the policies', resolve(CHECKOUT, 'policies'))
    .option('--json', 'print JSON')
    .action(forPeople(check));

const check = async (policies: string, flags: { json?: true }): Promise<void> => {
  const compiler = await requireCompiler((line) => console.error(line));
  const findings = await checkPolicies(resolve(policies), compiler);
  if (findings.length > 0) process.exitCode = 1;
  if (flags.json) {
    console.log(JSON.stringify({ ok: findings.length === 0, findings }));
    return;
  }
  for (const finding of findings) {
    console.log(`${placeOf(finding)}  ${finding.why}  [${finding.check}]\n    fix: ${finding.fix}`);
  }
  console.log(findings.length === 0 ? 'no findings' : `${findings.length} finding${findings.length === 1 ? '' : 's'}`);
};

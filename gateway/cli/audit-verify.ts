import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { describeBadRecord } from '../audit/corruption.ts';
import { type AuditReport, verifyAudit } from '../audit/verify.ts';
import { auditHomes } from './audit-home.ts';
import { CliError } from './cli-error.ts';
import { type BundlePlaces, bundleFilesIn, type ReExecution, reExecute } from './re-execute.ts';

interface VerifyFlags {
  home?: string;
  checkpoint?: string;
  key?: string;
  reExecute?: true;
  bundles?: string;
  json?: true;
}

/** `aegis audit verify`: exit 1 when anything was changed, removed, reordered or is missing. */
export const auditVerifyCommand = (): Command =>
  new Command('verify')
    .description('check every record, the chain, the contents and the checkpoints')
    .option('--home <folder>', 'the home whose log is meant')
    .option('--checkpoint <file>', 'checkpoints that were kept elsewhere: finds a cut tail and a rewritten log')
    .option('--key <verifier-key>', 'the key that signed them (default: the one beside the log)')
    .option('--re-execute', 'also decide every recorded decision again, under the bundle that decided it, and compare')
    .option('--bundles <folder>', 'with --re-execute: further bundles (*.tar.gz) that this home does not have')
    .option('--json', 'print JSON')
    .action(verify);

/** What was found of one log; with the decisions made again where that was asked for. */
type Verification = AuditReport & { readonly reExecution?: ReExecution };

const verify = async (flags: VerifyFlags): Promise<void> => {
  if (flags.bundles !== undefined && !flags.reExecute) throw new CliError('--bundles goes with --re-execute');
  const all = auditHomes(flags.home);
  // Checkpoints and their key are one log's: that of the named folder itself.
  const homes = flags.checkpoint === undefined && flags.key === undefined ? all : all.slice(0, 1);
  const files = flags.bundles === undefined ? new Map<string, string>() : await bundleFilesIn(flags.bundles);
  const reports: Verification[] = [];
  for (const home of homes) {
    const report = await verifyLog(home, flags);
    const places: BundlePlaces = { homes: [home, ...all], files };
    reports.push(flags.reExecute ? { ...report, reExecution: await reExecute(home, places) } : report);
  }
  const isGood = reports.every(({ ok, reExecution }) => ok && !reExecution?.different);
  if (!isGood) process.exitCode = 1;
  const [only] = reports;
  if (only && reports.length === 1) {
    console.log(flags.json ? JSON.stringify(only) : verifyText(only));
    return;
  }
  const logs = reports.map((report, index) => ({ home: homes[index] as string, ...report }));
  if (flags.json) console.log(JSON.stringify({ ok: isGood, logs }));
  else console.log(logs.map(({ home, ...report }) => `${home}\n${verifyText(report)}`).join('\n\n'));
};

const verifyLog = async (home: string, flags: VerifyFlags): Promise<AuditReport> => {
  try {
    return await verifyAudit(home, {
      checkpoints: flags.checkpoint === undefined ? undefined : await readCheckpoints(flags.checkpoint),
      verifierKey: flags.key,
    });
  } catch (error) {
    const { name, message = '' } = error as { name?: string; message?: string };
    throw name === 'TypeError' && /checkpoint|verifier key/.test(message) ? new CliError(message) : error;
  }
};

const readCheckpoints = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${String((error as { code?: unknown }).code)}`);
  }
};

const SHOWN = 10;

const verifyText = (report: Verification): string => {
  const { records, segments, intents, outcomes, events, suppressed, contents, torn } = report;
  const rows: [string, string][] = [
    [report.ok ? 'good' : 'BAD', report.bad ? describeBadRecord(report.bad) : 'every record is as it was written'],
    ...report.problems.slice(1, SHOWN).map((problem): [string, string] => ['', describeBadRecord(problem)]),
    ['log', report.log ?? 'empty'],
    ['records', `${count(records)} in ${segments} segment${segments === 1 ? '' : 's'}`],
    [
      '',
      `${count(intents)} intents, ${count(outcomes)} outcomes, ${count(events)} events, ${count(suppressed)} suppressed`,
    ],
    ['open', openText(report.openIntents)],
    [
      'contents',
      `${count(contents.kept)} kept, ${count(contents.erased)} erased, ${count(contents.expired)} expired, ${count(contents.lost)} lost`,
    ],
  ];
  if (report.erased.length > 0) rows.push(['', `erased: ${some(report.erased)}`]);
  if (report.expired.length > 0) rows.push(['', `expired: ${some(report.expired)}`]);
  if (torn) {
    rows.push([
      'torn',
      `${count(torn.bytes)} bytes behind the last record (segment ${torn.segment}, offset ${torn.offset}):`,
    ]);
    rows.push(['', 'an unfinished write; the next start removes it']);
  }
  rows.push(['checked', `${count(report.checkpoints)} checkpoints agree`], ['head', report.head]);
  if (report.verifierKey) rows.push(['key', report.verifierKey]);
  if (report.reExecution) rows.push(...reExecutionRows(report.reExecution));
  return rows.map(([name, value]) => `${name.padEnd(11)}${value}`).join('\n');
};

const reExecutionRows = ({ equal, different, differences, notReExecuted }: ReExecution): [string, string][] => [
  [
    different === 0 ? 're-decided' : 'DIFFERENT',
    different === 0
      ? `${decisions(equal)}, ${equal === 1 ? '' : 'each '}equal to its record to the last byte`
      : `${decisions(different)} otherwise than recorded; ${count(equal)} equal`,
  ],
  ...differences.slice(0, SHOWN).map(({ id, difference }): [string, string] => ['', `${id}: ${difference}`]),
  ...Object.entries(notReExecuted).map(([reason, number]): [string, string] => [
    'not done',
    `${decisions(number)}: ${reason}`,
  ]),
];

const decisions = (number: number): string => `${count(number)} decision${number === 1 ? '' : 's'}`;

const openText = (ids: readonly string[]): string => {
  if (ids.length === 0) return 'no intent waits for its outcome';
  return `${ids.length === 1 ? '1 intent waits for its' : `${count(ids.length)} intents wait for their`} outcome: ${some(ids)}`;
};

const count = (number: number): string => number.toLocaleString('en-US');

const some = (names: readonly string[]): string =>
  `${names.slice(0, SHOWN).join(', ')}${names.length > SHOWN ? ` and ${count(names.length - SHOWN)} more` : ''}`;

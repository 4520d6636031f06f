import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { readAudit } from '../audit/read.ts';
import { openDatabase } from '../store/database.ts';
import { parseDimensions } from '../store/dimensions.ts';
import { catchUpLedger, forgetLedger } from '../store/ledger.ts';
import { queryUsage } from '../store/usage.ts';
import { CliError } from './cli-error.ts';
import { homeOf } from './home.ts';
import { formatMovers, formatReportCsv, formatTable, moversOf, reportJson } from './report-format.ts';
import { parseRange, rangeBefore } from './report-range.ts';

interface UsageFlags {
  by: string;
  since: string;
  until?: string;
  movers?: true;
  csv?: true;
  json?: true;
  rebuild?: true;
  home?: string;
}

/** `aegis report`: what was used and what it cost, from the audit log, with the gateway running or not. */
export const reportCommand = (): Command =>
  new Command('report').description('what was used, by whom, and what it cost').addCommand(usageCommand());

const usageCommand = (): Command =>
  new Command('usage')
    .description(
      'requests, tokens, cost, denials and latency of every recorded request; percentiles are of answered requests, right to within a factor of 1.5',
    )
    .option('--by <dimensions>', 'org, team, user, key, use_case, workflow, model, upstream, day, tag:<name>', 'org')
    .option(
      '--since <day>',
      'first UTC day, such as 2026-11-01, or a number of days that ends with the last: 7d',
      '30d',
    )
    .option('--until <day>', 'last UTC day, included (default: today)')
    .option('--movers', 'also the ten groups whose cost moved most against the period before')
    .option('--csv', 'print CSV')
    .option('--json', 'print JSON')
    .option('--rebuild', 'forget the ledger first and read the whole audit log again')
    .option('--home <folder>', 'folder of the store and the audit log (default: AEGIS_HOME, else .aegis)')
    .action(async (flags: UsageFlags, command: Command) => {
      if (flags.csv && (flags.json || flags.movers))
        command.error('error: --csv goes with neither --json nor --movers');
      await reportUsage(homeOf(flags.home), flags, request(flags, command));
    });

type Request = Pick<Parameters<typeof formatTable>[0], 'dimensions' | 'range'>;

const request = (flags: UsageFlags, command: Command): Request => {
  try {
    return { dimensions: parseDimensions(flags.by), range: parseRange(flags.since, flags.until, Date.now()) };
  } catch (error) {
    return command.error(`error: ${(error as RangeError).message}`);
  }
};

const reportUsage = async (home: string, flags: UsageFlags, { dimensions, range }: Request): Promise<void> => {
  if (!existsSync(home))
    throw new CliError(`${home} does not exist: has a gateway run here? --home names another folder`);
  const { db, close } = await openDatabase(home);
  try {
    if (flags.rebuild) await forgetLedger(db);
    await catchUp(() => catchUpLedger(db, home, readAudit));
    const report = { dimensions, range, ...(await queryUsage(db, dimensions, range)) };
    if (flags.csv) {
      process.stdout.write(formatReportCsv(report));
      return;
    }
    const before = rangeBefore(range);
    const movers = flags.movers ? moversOf(report, await queryUsage(db, dimensions, before)) : undefined;
    if (flags.json) console.log(JSON.stringify(reportJson(report, movers)));
    else
      console.log([formatTable(report), ...(movers ? ['', formatMovers(dimensions, before, movers)] : [])].join('\n'));
  } finally {
    await close();
  }
};

/** A damaged log still gives a report of what precedes the damage, but never silently. */
const catchUp = async (load: () => Promise<unknown>): Promise<void> => {
  try {
    await load();
  } catch (error) {
    const { name, message } = (error ?? {}) as { name?: unknown; message?: unknown };
    if (name !== 'AuditCorruptionError') throw error;
    process.stderr.write(
      `aegis: the report ends where the audit log is damaged: ${message} (see aegis audit verify)\n`,
    );
    process.exitCode = 1;
  }
};

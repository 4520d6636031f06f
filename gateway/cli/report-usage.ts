import { Command } from 'commander';
import { type Dimension, parseDimensions } from '../store/dimensions.ts';
import { moversOf, reportJson } from '../store/report.ts';
import { parseRange, rangeBefore } from '../store/report-range.ts';
import { type DayRange, queryUsage } from '../store/usage.ts';
import { formatMovers, formatReportCsv, formatTable } from './report-format.ts';
import { openLedger } from './report-store.ts';
import { type StoreFlags, withStoreFlags } from './store-place.ts';

interface UsageFlags extends StoreFlags {
  by: string;
  since?: string;
  until?: string;
  last?: string;
  org?: string;
  movers?: true;
  csv?: true;
  json?: true;
  rebuild?: true;
}

/** `aegis report usage`. */
export const usageCommand = (): Command =>
  withStoreFlags(new Command('usage'))
    .description(
      'requests, tokens, cost, denials and latency of every recorded request; percentiles are of answered requests, right to within a factor of 1.5',
    )
    .option(
      '--by <dimensions>',
      'org, team, user, key, use_case, workflow, model, upstream, endpoint, day, tag:<name>; several by commas',
      'org',
    )
    .option('--since <day>', 'first UTC day, such as 2026-11-01')
    .option('--until <day>', 'last UTC day, included (default: today)')
    .option('--last <days>', 'instead of --since: so many days, the last one included (default: 30d)')
    .option('--org <name>', 'of one organisation')
    .option('--movers', 'also the ten groups whose cost moved most against the period before, of the same length')
    .option('--csv', 'print CSV')
    .option('--json', 'print JSON')
    .option(
      '--rebuild',
      'make the ledger anew first: an embedded one from the audit log, the sums of a shared one from its rows',
    )
    .action(async (flags: UsageFlags, command: Command) => {
      if (flags.csv && (flags.json || flags.movers))
        command.error('error: --csv goes with neither --json nor --movers');
      if (flags.last !== undefined && flags.since !== undefined) command.error('error: --last goes without --since');
      await reportUsage(flags, request(flags, command));
    });

interface Request {
  readonly dimensions: readonly Dimension[];
  readonly range: DayRange;
}

const request = (flags: UsageFlags, command: Command): Request => {
  try {
    const since = flags.last ?? flags.since ?? '30d';
    return { dimensions: parseDimensions(flags.by), range: parseRange(since, flags.until, Date.now()) };
  } catch (error) {
    return command.error(`error: ${(error as RangeError).message}`);
  }
};

const reportUsage = async (flags: UsageFlags, { dimensions, range }: Request): Promise<void> => {
  const { db, close } = await openLedger(flags, flags.rebuild === true);
  try {
    const filter = flags.org === undefined ? {} : { org: flags.org };
    const report = { dimensions, range, ...(await queryUsage(db, dimensions, range, filter)) };
    if (flags.csv) {
      process.stdout.write(formatReportCsv(report));
      return;
    }
    const before = rangeBefore(range);
    const movers = flags.movers ? moversOf(report, await queryUsage(db, dimensions, before, filter)) : undefined;
    if (flags.json) console.log(JSON.stringify(reportJson(report, movers)));
    else
      console.log([formatTable(report), ...(movers ? ['', formatMovers(dimensions, before, movers)] : [])].join('\n'));
  } finally {
    await close();
  }
};

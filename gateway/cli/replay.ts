import { readFile, writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { parse } from 'yaml';
import { readPublicKeys } from '../policy/signature.ts';
import { createPriceTable } from '../prices.ts';
import { createAuditSource } from '../replay/audit-source.ts';
import type { DecisionRange, DecisionSource } from '../replay/decision-source.ts';
import { type GuardLimits, type GuardReading, readGuards } from '../replay/guards.ts';
import { hideNames } from '../replay/hide-names.ts';
import { type PriceList, parsePriceList, withPrices } from '../replay/price-list.ts';
import { type LoadedBundle, replay } from '../replay/replay.ts';
import { replayMarkdown } from '../replay/replay-markdown.ts';
import { replayText } from '../replay/replay-text.ts';
import { type ReplayReport, reportOf } from '../replay/report.ts';
import type { PolicyData } from '../types.gen.ts';
import { auditHomes } from './audit-home.ts';
import { CliError, forPeople } from './cli-error.ts';
import { homeOf } from './home.ts';
import { loadBundle, loadServingBundle } from './replay-bundles.ts';
import { guardsOf, type ReplayFlags, rangeOf, sampleOf, threadsOf, withGuardFlags } from './replay-flags.ts';
import { openStoreSource } from './replay-store.ts';
import { checkoutKeys } from './verify.ts';

/** `aegis replay`: exit 1 when a guard is breached or the log is damaged, 2 for wrong usage. */
export const replayCommand = (): Command =>
  withGuardFlags(
    new Command('replay')
      .description(
        'decide logged requests anew under a candidate bundle or other prices: what would change, and for whom',
      )
      .option('--bundle <file>', 'the candidate')
      .option(
        '--against <file>',
        'the serving bundle (default: the home’s last known good, else the stable one of bundles/)',
      )
      .option('--prices <file>', 'other prices: as policies/models/data.yaml, or a catalogue in LiteLLM’s format')
      .option('--since <when>', 'first moment: a date, an RFC 3339 time, or an age such as 7d')
      .option('--until <when>', 'moment before which to stop')
      .option('--home <folder>', 'home of the gateway (default: AEGIS_HOME, else .aegis)')
      .option(
        '--store',
        'decisions of all gateways, from the store of the config (store.decisions_days), not from the log',
      )
      .option('--config <file>', 'with --store: the gateway’s config (default: ./aegis.yaml, unless --home is given)')
      .option('--org <name>', 'of one organisation')
      .option('--sample <share>', 'of a share of the decisions, such as 10%; limits are not simulated then')
      .option('--key <pem...>', 'public keys that may have signed the bundles (default: bundles/keys/*.pub.pem)')
      .option('--unsigned', 'the candidate need not be signed, as in a pull request')
      .option('--re-execute', 'decide anew what the serving bundle decided, instead of taking it from the log')
      .option('--threads <number>', 'worker threads (default: one a core)')
      .option('--guards <file>', 'guards (default: policies/replay.yaml if it is there)')
      .option('--no-guards', 'no guards but those of the command line')
      .option('--no-names', 'hide the names of users and credentials')
      .option('--markdown <file>', 'also write a report for a pull request; - prints it instead of the text')
      .option('--json', 'print JSON'),
  ).action(async (flags: ReplayFlags, command: Command) => {
    const request = await requestOf(flags, command);
    await forPeople(run)(flags, request);
  });

interface Request {
  readonly range: DecisionRange;
  readonly guards: GuardLimits;
  readonly sample: number;
  readonly threads: number;
}

/** What the flags say; wrong ones are wrong usage. */
const requestOf = async (flags: ReplayFlags, command: Command): Promise<Request> => {
  try {
    if (flags.bundle === undefined && flags.prices === undefined) throw new CliError('--bundle or --prices is missing');
    return {
      range: rangeOf(flags, Date.now()),
      guards: await guardsOf(flags),
      sample: sampleOf(flags),
      threads: threadsOf(flags),
    };
  } catch (error) {
    return command.error(`error: ${String((error as { message?: unknown }).message ?? error)}`);
  }
};

const run = async (flags: ReplayFlags, request: Request): Promise<void> => {
  const store = flags.store ? await openStoreSource(flags) : undefined;
  const source = store?.source ?? createAuditSource(auditHomes(flags.home));
  const home = store?.home ?? homeOf(flags.home);
  const report = await replayReport({ ...flags, home }, request, source).finally(() => store?.close());
  const readings = readGuards(request.guards, report);
  const shown = flags.names ? report : hideNames(report);
  const markdown = flags.markdown === undefined ? undefined : replayMarkdown(shown, readings);
  if (flags.markdown === '-') process.stdout.write(`${markdown}`);
  else {
    if (flags.markdown !== undefined) await writeFile(flags.markdown, `${markdown}`);
    console.log(
      flags.json ? JSON.stringify({ ok: isKept(readings), guards: readings, ...shown }) : replayText(shown, readings),
    );
  }
  if (isKept(readings)) return;
  process.exitCode = 1;
  for (const { guard, limit, found, what, ok } of readings) {
    if (!ok) console.error(`aegis: guard ${guard} is breached: ${what}: ${found}, limit ${limit}`);
  }
};

const isKept = (readings: readonly GuardReading[]): boolean => readings.every(({ ok }) => ok);

/** Replays a source as the flags say. */
const replayReport = async (
  flags: ReplayFlags & { readonly home: string },
  request: Request,
  source: DecisionSource,
): Promise<ReplayReport> => {
  const keys = await readPublicKeys(flags.key ?? (await checkoutKeys()));
  const before =
    flags.against === undefined ? await loadServingBundle(flags.home, keys) : await loadBundle(flags.against, keys);
  const after =
    flags.bundle === undefined ? undefined : await loadBundle(flags.bundle, flags.unsigned ? undefined : keys);
  const candidate = (after ?? before).bundle;
  const data = candidate.data as unknown as PolicyData;
  const list = flags.prices === undefined ? undefined : await readPrices(flags.prices, data);
  const prices = list?.prices ?? {};
  const pricesAfter = createPriceTable(withPrices(data, new Map(Object.entries(prices))), candidate.manifest.revision);
  const { range, sample, threads } = request;
  const progress = progressOf(process.stderr.isTTY === true);
  const replayed = await replay({
    source,
    range,
    before,
    after,
    prices,
    reExecute: flags.reExecute === true,
    org: flags.org,
    sample,
    threads,
    onProgress: progress.show,
  })
    .catch(damaged)
    .finally(progress.clear);
  return reportOf(replayed, {
    source: source.name,
    before: namedOf(before),
    after: after && namedOf(after),
    pricesAfter,
    priceFile: list && flags.prices !== undefined ? { file: flags.prices, priced: list.priced, kept: list.kept } : null,
    sample,
    org: flags.org,
  });
};

/** What people can look into is said in a sentence. */
const damaged = (error: unknown): never => {
  const { code, message } = error as { code?: unknown; message?: string };
  if (code === 'audit_corrupt') throw new CliError(`${message}; ./aegis audit verify tells more`, { cause: error });
  throw error;
};

const namedOf = ({
  bundle: { manifest, digest },
}: LoadedBundle): Pick<LoadedBundle['bundle'], 'manifest' | 'digest'> => ({
  manifest,
  digest,
});

const readPrices = async (file: string, data: PolicyData): Promise<PriceList> => {
  try {
    return parsePriceList(data, parse(await readFile(file, 'utf8')));
  } catch (error) {
    throw new CliError(`${file}: ${String((error as { message?: unknown }).message ?? error)}`);
  }
};

const SHOWN_EVERY_MS = 500;

/** A line on a terminal that says how far it is. */
const progressOf = (isShown: boolean): { show: (records: number) => void; clear: () => void } => {
  let shownAt = 0;
  return {
    show: (records) => {
      const now = Date.now();
      if (!isShown || now - shownAt < SHOWN_EVERY_MS) return;
      shownAt = now;
      process.stderr.write(`\r${records.toLocaleString('en-US')} records`);
    },
    clear: () => {
      if (shownAt > 0) process.stderr.write('\r\u001b[K');
    },
  };
};

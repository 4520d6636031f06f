import { readFileSync } from 'node:fs';
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { formatCount, formatUsd } from '../store/money.ts';
import { parseRange } from '../store/report-range.ts';
import { type DayRange, queryUsage } from '../store/usage.ts';
import { CliError } from './cli-error.ts';
import { type Measure, type ProviderUsage, parseProviderUsage } from './provider-usage.ts';
import { type Difference, type Reconciliation, reconcile } from './reconcile.ts';
import { openLedger } from './report-store.ts';
import { type StoreFlags, withStoreFlags } from './store-place.ts';

interface ReconcileFlags extends StoreFlags {
  providerCsv: string;
  upstream?: string[];
  alias: ReadonlyMap<string, string>;
  tolerance: number;
  since?: string;
  until?: string;
  json?: true;
}

/** `aegis report reconcile`. Exit 1 when a figure differs beyond the tolerance. */
export const reconcileCommand = (): Command =>
  withStoreFlags(new Command('reconcile'))
    .description('compare the ledger with a provider’s export, by day and model, and name what differs')
    .requiredOption('--provider-csv <file>', 'usage or costs, exported as CSV by OpenAI or Anthropic')
    .option('--upstream <names>', 'the upstreams of that account, by commas (default: openai or anthropic)', parseNames)
    .option('--tolerance <percent>', 'how far figures may be apart, such as 1% or 0.1%', parsePercent, 0.01)
    .option(
      '--alias <names>',
      'what the provider calls a model of ours: theirs=ours; may be repeated',
      addAlias,
      new Map(),
    )
    .option('--since <day>', 'first UTC day (default: the first of the export)')
    .option('--until <day>', 'last UTC day, included (default: the last of the export)')
    .option('--json', 'print JSON')
    .action(async (flags: ReconcileFlags) => {
      const exported = within(readExport(flags), flags);
      const range = rangeOf(exported);
      const upstreams = flags.upstream ?? [exported.provider];
      const { db, close } = await openLedger(flags, false);
      try {
        const { groups } = await queryUsage(db, ['day', 'model', 'upstream'], range);
        const ours = groups.filter(({ keys }) => upstreams.includes(keys[2]!));
        const result = reconcile(exported, ours, flags.tolerance);
        if (result.differences.length > 0) process.exitCode = 1;
        const about = { format: exported.format, upstreams, range, tolerance: flags.tolerance };
        console.log(flags.json ? JSON.stringify(jsonOf(about, result)) : textOf(about, result));
      } finally {
        await close();
      }
    });

const readExport = ({ providerCsv, alias }: ReconcileFlags): ProviderUsage => {
  try {
    return parseProviderUsage(readFileSync(providerCsv, 'utf8'), alias);
  } catch (error) {
    const { message, code } = error as { message?: string; code?: string };
    throw new CliError(`${providerCsv}: ${code === undefined ? message : `cannot be read: ${code}`}`, { cause: error });
  }
};

const within = (exported: ProviderUsage, { since, until, providerCsv }: ReconcileFlags): ProviderUsage => {
  const all = exported.days.map(({ day }) => day).sort();
  const [first, last] = [since ?? all[0], until ?? all.at(-1)];
  if (first === undefined || last === undefined) throw new CliError(`${providerCsv} tells of no use`);
  try {
    const { firstDay, lastDay } = parseRange(first, last, Date.now());
    const days = exported.days.filter(({ day }) => day >= firstDay && day <= lastDay);
    if (days.length === 0) throw new RangeError(`${providerCsv} tells of no use from ${firstDay} to ${lastDay}`);
    return { ...exported, days: days };
  } catch (error) {
    throw new CliError((error as Error).message, { cause: error });
  }
};

const rangeOf = ({ days }: ProviderUsage): DayRange => {
  const sorted = days.map(({ day }) => day).sort();
  return { firstDay: sorted[0]!, lastDay: sorted.at(-1)! };
};

interface About {
  readonly format: string;
  readonly upstreams: readonly string[];
  readonly range: DayRange;
  readonly tolerance: number;
}

const textOf = (
  { format, upstreams, range, tolerance }: About,
  { differences, compared, totals }: Reconciliation,
): string => {
  const head = `${format} against the ledger’s ${upstreams.join(', ')}, ${range.firstDay} to ${range.lastDay} (UTC days)`;
  const sums = totals.map(
    ({ measure, provider, ledger }) =>
      `  ${measure.name.padEnd(16)}${formatFigure(measure, provider).padStart(20)}${formatFigure(measure, ledger).padStart(20)}`,
  );
  const verdict =
    differences.length === 0
      ? `all ${compared} pairs of day and model agree within ${percent(tolerance)}`
      : `${differences.length} figures differ by more than ${percent(tolerance)}, of ${compared} pairs of day and model`;
  const lines = [head, `  ${'total'.padEnd(16)}${'provider'.padStart(20)}${'ledger'.padStart(20)}`, ...sums];
  if (differences.length > 0) lines.push(tableOf(differences));
  return [...lines, verdict].join('\n');
};

const tableOf = (differences: readonly Difference[]): string => {
  const table = new Table({
    head: ['day', 'model', 'figure', 'provider', 'ledger', 'difference', ''],
    colAligns: ['left', 'left', 'left', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const { day, model, kind, measure, provider, ledger, share } of differences) {
    const sign = ledger > provider ? '+' : '-';
    table.push([
      day,
      model === '' ? '(all)' : model.replace(/\p{Cc}/gu, '\ufffd'),
      measure.name,
      formatFigure(measure, provider),
      formatFigure(measure, ledger),
      `${sign}${percent(share)}`,
      kind === 'differs' ? '' : kind,
    ]);
  }
  return table.toString();
};

const formatFigure = ({ unit }: Measure, value: number): string =>
  unit === 'tokens' ? formatCount(value) : formatUsd(value, { grouped: true });

const percent = (share: number): string => `${Number((share * 100).toFixed(2))} %`;

const jsonOf = ({ format, upstreams, range, tolerance }: About, { differences, compared, totals }: Reconciliation) => ({
  format,
  upstreams,
  since: range.firstDay,
  until: range.lastDay,
  tolerance,
  compared,
  agrees: differences.length === 0,
  totals: totals.map(({ measure, provider, ledger }) => ({
    figure: measure.name,
    unit: measure.unit,
    provider,
    ledger,
  })),
  differences: differences.map(({ measure, ...difference }) => ({
    day: difference.day,
    model: difference.model,
    figure: measure.name,
    unit: measure.unit,
    kind: difference.kind,
    provider: difference.provider,
    ledger: difference.ledger,
    share: difference.share,
  })),
});

const parseNames = (text: string): string[] =>
  text
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);

const parsePercent = (text: string): number => {
  const match = /^(\d{1,3}(?:\.\d{1,4})?)\s*%?$/.exec(text);
  const value = Number(match?.[1]) / 100;
  if (match && value <= 1) return value;
  throw new InvalidArgumentError('Write a percentage such as 1% or 0.1%.');
};

const addAlias = (text: string, aliases: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('Write theirs=ours.');
  return new Map([...aliases, [text.slice(0, at), text.slice(at + 1)]]);
};

import { parseCsv } from '../parse-csv.ts';
import type { UsageGroup } from '../store/usage.ts';

/** One figure that a provider and the ledger both have. */
export interface Measure {
  readonly name: string;
  /** Tokens, or micro-USD. */
  readonly unit: 'tokens' | 'micro_usd';
  /** The ledger's figure. */
  of(group: UsageGroup): number;
}

/** What a provider says was used on a day of a model. */
export interface ProviderDay {
  /** UTC. */
  readonly day: string;
  /** As the ledger's models are named, by `canonicalModel`; '' where the export tells no models. */
  readonly model: string;
  /** In the order of the measures. */
  readonly figures: number[];
}

/** A provider's export, added up by day and model. */
export interface ProviderUsage {
  /** What kind of export it is, for people. */
  readonly format: string;
  /** What its upstream is usually called. */
  readonly provider: 'openai' | 'anthropic';
  readonly measures: readonly Measure[];
  readonly days: readonly ProviderDay[];
}

const tokens = (name: string, of: Measure['of']): Measure => ({ name, unit: 'tokens', of });

const CACHE_READ = tokens('cache_read', (group) => group.cache_read_tokens);
const OUTPUT = tokens('output', (group) => group.output_tokens + group.reasoning_tokens);
const COST: Measure = { name: 'cost', unit: 'micro_usd', of: (group) => group.cost_micro_usd };

/** Reads the cells of one row by the names of their columns. */
interface Cells {
  text(column: string): string;
  /** Not negative; 0 for an empty cell and a column that is not there. Throws RangeError. */
  number(column: string): number;
}

interface Format extends Pick<ProviderUsage, 'format' | 'provider' | 'measures'> {
  /** Columns by which it is known: all of them. */
  readonly columns: readonly string[];
  /** Columns by which an older or newer variant is known; the first format that fits is taken. */
  day(cells: Cells): string;
  /** Undefined for a row that tells of no use. */
  model(cells: Cells): string | undefined;
  figures(cells: Cells): number[];
}

const openaiDay = (cells: Cells): string => {
  const seconds = cells.number('start_time');
  return seconds > 0 ? new Date(seconds * 1000).toISOString().slice(0, 10) : cells.text('start_time_iso').slice(0, 10);
};

const anthropicDay = (cells: Cells): string => cells.text('usage_date_utc').slice(0, 10);

/** Prompt tokens that no cache is known of; where the export does not tell writes apart, they are among them. */
const openaiInput = (cells: Cells): number => {
  const cached = cells.number('input_cached_tokens') + cells.number('input_cache_write_tokens');
  return Math.max(0, cells.number('input_tokens') - cached);
};

/** Where each format comes from is told in docs/operations.md. */
const FORMATS: readonly Format[] = [
  {
    format: 'OpenAI usage with cache writes',
    provider: 'openai',
    columns: ['num_model_requests', 'input_tokens', 'input_cached_tokens', 'input_cache_write_tokens'],
    measures: [
      tokens('input', (group) => group.input_tokens),
      CACHE_READ,
      tokens('cache_write', (group) => group.cache_write_tokens + group.cache_write_1h_tokens),
      OUTPUT,
    ],
    day: openaiDay,
    model: (cells) => cells.text('model') || undefined,
    figures: (cells) => [
      openaiInput(cells),
      cells.number('input_cached_tokens'),
      cells.number('input_cache_write_tokens'),
      cells.number('output_tokens'),
    ],
  },
  {
    format: 'OpenAI usage',
    provider: 'openai',
    columns: ['num_model_requests', 'input_tokens', 'input_cached_tokens'],
    measures: [
      tokens('input', (group) => group.input_tokens + group.cache_write_tokens + group.cache_write_1h_tokens),
      CACHE_READ,
      OUTPUT,
    ],
    day: openaiDay,
    model: (cells) => cells.text('model') || undefined,
    figures: (cells) => [openaiInput(cells), cells.number('input_cached_tokens'), cells.number('output_tokens')],
  },
  {
    format: 'OpenAI usage without caches',
    provider: 'openai',
    columns: ['num_model_requests', 'input_tokens'],
    measures: [
      tokens(
        'input',
        (group) =>
          group.input_tokens + group.cache_read_tokens + group.cache_write_tokens + group.cache_write_1h_tokens,
      ),
      OUTPUT,
    ],
    day: openaiDay,
    model: (cells) => cells.text('model') || undefined,
    figures: (cells) => [cells.number('input_tokens'), cells.number('output_tokens')],
  },
  {
    format: 'OpenAI costs',
    provider: 'openai',
    columns: ['start_time', 'amount_value', 'amount_currency'],
    measures: [COST],
    day: openaiDay,
    // `gpt-5-nano, input`: the model, then what of it.
    model: (cells) => (cells.text('amount_value') === '' ? undefined : cells.text('line_item').split(',')[0]!.trim()),
    figures: (cells) => {
      const currency = cells.text('amount_currency');
      if (currency.toLowerCase() !== 'usd')
        throw new RangeError(`amounts in "${currency}" cannot be compared: not USD`);
      return [cells.number('amount_value') * 1e6];
    },
  },
  {
    format: 'Anthropic usage',
    provider: 'anthropic',
    columns: [
      'usage_date_utc',
      'model_version',
      'usage_input_tokens_no_cache',
      'usage_input_tokens_cache_write_5m',
      'usage_output_tokens',
    ],
    measures: [
      tokens('input', (group) => group.input_tokens),
      CACHE_READ,
      tokens('cache_write', (group) => group.cache_write_tokens),
      tokens('cache_write_1h', (group) => group.cache_write_1h_tokens),
      OUTPUT,
    ],
    day: anthropicDay,
    model: (cells) => cells.text('model_version') || undefined,
    figures: (cells) => [
      cells.number('usage_input_tokens_no_cache'),
      cells.number('usage_input_tokens_cache_read'),
      cells.number('usage_input_tokens_cache_write_5m'),
      cells.number('usage_input_tokens_cache_write_1h'),
      cells.number('usage_output_tokens'),
    ],
  },
  {
    format: 'Anthropic usage with one kind of cache write',
    provider: 'anthropic',
    columns: ['usage_date_utc', 'model_version', 'usage_input_tokens_no_cache', 'usage_output_tokens'],
    measures: [
      tokens('input', (group) => group.input_tokens),
      CACHE_READ,
      tokens('cache_write', (group) => group.cache_write_tokens + group.cache_write_1h_tokens),
      OUTPUT,
    ],
    day: anthropicDay,
    model: (cells) => cells.text('model_version') || undefined,
    figures: (cells) => [
      cells.number('usage_input_tokens_no_cache'),
      cells.number('usage_input_tokens_cache_read'),
      cells.number('usage_input_tokens_cache_write'),
      cells.number('usage_output_tokens'),
    ],
  },
  {
    format: 'Anthropic costs',
    provider: 'anthropic',
    columns: ['usage_date_utc', 'cost_usd', 'token_type'],
    measures: [COST],
    day: anthropicDay,
    model: (cells) => cells.text('model'),
    figures: (cells) => [cells.number('cost_usd') * 1e6],
  },
];

/**
 * A provider's export as CSV, its format known by the header. `aliases` gives the ledger's name of a model that the
 * provider calls otherwise. Throws RangeError that names the line, or the columns that were found when it is no format.
 */
export const parseProviderUsage = (text: string, aliases: ReadonlyMap<string, string>): ProviderUsage => {
  const [head, ...rows] = parseCsv(text);
  const columns = (head?.cells ?? []).map((name) => name.trim().toLowerCase());
  const format = FORMATS.find((candidate) => candidate.columns.every((name) => columns.includes(name)));
  if (!format)
    throw new RangeError(`no export of OpenAI or Anthropic has these columns: ${columns.join(', ') || 'none'}`);
  const days = new Map<string, ProviderDay>();
  for (const { line, cells } of rows) {
    try {
      const read = cellsOf(columns, cells);
      const named = format.model(read);
      if (named === undefined) continue;
      const day = format.day(read);
      if (!isDay(day)) throw new RangeError(`"${day}" is not a day`);
      const model = canonicalModel(aliases.get(named) ?? named);
      const key = JSON.stringify([day, model]);
      const sum = days.get(key) ?? { day, model, figures: format.measures.map(() => 0) };
      for (const [i, figure] of format.figures(read).entries()) sum.figures[i]! += figure;
      days.set(key, sum);
    } catch (error) {
      throw new RangeError(`line ${line}: ${(error as Error).message}`);
    }
  }
  const { provider, measures } = format;
  const rounded = [...days.values()].map((row) => ({ ...row, figures: row.figures.map(Math.round) }));
  return { format: format.format, provider, measures, days: rounded };
};

const cellsOf = (columns: readonly string[], cells: readonly string[]): Cells => {
  const text = (column: string): string => cells[columns.indexOf(column)]?.trim() ?? '';
  return {
    text,
    number(column) {
      const written = text(column);
      const value = Number(written);
      if (Number.isFinite(value) && value >= 0) return value;
      throw new RangeError(`${column} "${written}" is not an amount`);
    },
  };
};

const isDay = (day: string): boolean => {
  const time = Date.parse(`${day}T00:00:00Z`);
  return /^\d{4}-\d{2}-\d{2}$/.test(day) && !Number.isNaN(time) && new Date(time).toISOString().startsWith(day);
};

/**
 * One name for what providers and catalogues write in several ways: a dated version is its model
 * (`gpt-5-mini-2025-08-07`, `claude-haiku-4-5-20251001`), and a name for display is an id (`Claude Haiku 4.5`).
 */
export const canonicalModel = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/[\s.]+/g, '-')
    .replace(/-(?:\d{4}-\d{2}-\d{2}|20\d{6}|latest)$/, '');

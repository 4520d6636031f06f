import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openAuditLog } from '../../../gateway/audit/log.ts';
import { formatCsv } from '../../../gateway/cli/csv.ts';
import { canonicalModel, parseProviderUsage } from '../../../gateway/cli/provider-usage.ts';
import { reportCommand } from '../../../gateway/cli/report.ts';
import { parseCsv } from '../../../gateway/parse-csv.ts';
import { outcome } from '../../support/outcomes.ts';
import { runCommand } from '../../support/run-command.ts';

describe('reading CSV', () => {
  test('what the CSV writer writes is read back', () => {
    const cell = fc.string({
      unit: fc.constantFrom('a', ',', '"', '\n', '\r', ' ', 'ü'),
    });
    fc.assert(
      fc.property(
        fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), {
          maxLength: 5,
        }),
        (rows) => {
          const safe = rows.map((row) => row.map((text) => text.replace(/^[\r\n]+/, '')));
          expect(parseCsv(formatCsv(safe)).map(({ cells }) => cells)).toEqual(safe);
        },
      ),
    );
  });

  test('a byte order mark, bare newlines, empty lines and a missing last newline are taken', () => {
    expect(parseCsv('\ufeffa,b\n\n1,"x\ny"\n2,')).toEqual([
      { line: 1, cells: ['a', 'b'] },
      { line: 3, cells: ['1', 'x\ny'] },
      { line: 5, cells: ['2', ''] },
    ]);
  });

  test('a quote that does not end, or is followed by text, is an error with its line', () => {
    expect(() => parseCsv('a\n"b')).toThrow('line 2');
    expect(() => parseCsv('a\n\n"b"c')).toThrow('line 3');
  });
});

const OPENAI_USAGE =
  'start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,service_tier,input_tokens,output_tokens,input_cached_tokens,input_audio_tokens,output_audio_tokens';
const OPENAI_COSTS =
  'start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,user_id,api_key_id,project_id,organization_id,project_name,organization_name,user_email,api_source';
const ANTHROPIC_USAGE =
  'usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed';
const ANTHROPIC_COSTS =
  'usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed,api_key_id,api_key_status';

const NO_ALIASES = new Map<string, string>();
const seconds = (time: string): number => Date.parse(time) / 1000;

describe('a provider’s export', () => {
  test('of OpenAI’s usage is known by its header and added up by day and model; empty buckets are skipped', () => {
    const text = [
      OPENAI_USAGE,
      `${seconds('2026-11-12T00:00:00Z')},,,,,,,,,,,,,,,`,
      `${seconds('2026-11-12T10:01:00Z')},,,,proj_1,3.0,,key_1,gpt-5-mini-2025-08-07,False,,7162,90,1280,0,0`,
      `${seconds('2026-11-12T23:59:00Z')},,,,proj_1,1,,key_2,gpt-5-mini,False,,100,10,0,0,0`,
      `${seconds('2026-11-13T00:00:00Z')},,,,proj_1,1,,key_2,gpt-5,False,,1,2,0,0,0`,
    ].join('\n');
    const { format, provider, measures, days } = parseProviderUsage(text, NO_ALIASES);
    expect([format, provider, measures.map(({ name }) => name)]).toEqual([
      'OpenAI usage',
      'openai',
      ['input', 'cache_read', 'output'],
    ]);
    expect(days).toEqual([
      { day: '2026-11-12', model: 'gpt-5-mini', figures: [5_982, 1_280, 100] },
      { day: '2026-11-13', model: 'gpt-5', figures: [1, 0, 2] },
    ]);
  });

  test('of embeddings has prompt tokens alone', () => {
    const text = 'start_time_iso,num_model_requests,model,input_tokens\n2026-11-12T00:00:00+00:00,1,embed,12';
    expect(parseProviderUsage(text, NO_ALIASES).days).toEqual([
      { day: '2026-11-12', model: 'embed', figures: [12, 0] },
    ]);
  });

  test('of OpenAI’s costs is exact to the micro-dollar, of a line item’s model or of the day', () => {
    const at = seconds('2026-11-12T00:00:00Z');
    const text = [
      OPENAI_COSTS,
      `${at},,,,,,,,,,,,,,,,`,
      `${at},,,,0.003835980000000000000000000000,usd,,,"gpt-5-nano-2025-08-07, input",,,,,,,,`,
      `${at},,,,0.5,usd,1000,tokens,"gpt-5-nano, output",,,,,,,,`,
      `${at},,,,1,usd,,,,,,,,,,,`,
    ].join('\r\n');
    expect(parseProviderUsage(text, NO_ALIASES).days).toEqual([
      { day: '2026-11-12', model: 'gpt-5-nano', figures: [503_836] },
      { day: '2026-11-12', model: '', figures: [1_000_000] },
    ]);
    expect(() => parseProviderUsage(text.replace('1,usd', '1,eur'), NO_ALIASES)).toThrow('line 5: amounts in "eur"');
  });

  test('of Anthropic’s usage tells each class of the prompt, by hour or day', () => {
    const text = [
      ANTHROPIC_USAGE,
      '2026-11-12 13:00,claude-haiku-4-5-20251001,k,Default,standard,≤ 200k,100,20,3,4000,50,0,not_available,',
      '2026-11-12,claude-haiku-4-5-20251001,k,Default,standard,≤ 200k,1,0,0,0,1,0,not_available,',
    ].join('\n');
    const { measures, days } = parseProviderUsage(text, NO_ALIASES);
    expect(measures.map(({ name }) => name)).toEqual([
      'input',
      'cache_read',
      'cache_write',
      'cache_write_1h',
      'output',
    ]);
    expect(days).toEqual([
      {
        day: '2026-11-12',
        model: 'claude-haiku-4-5',
        figures: [101, 4_000, 20, 3, 51],
      },
    ]);
  });

  test('of Anthropic’s costs names models for display', () => {
    const text = [
      ANTHROPIC_COSTS,
      '2026-11-12,Claude Haiku 4.5,Default,k,message,≤ 200k,input_no_cache,0.05,0.05,token,,,a,',
      '2026-11-12,Claude Haiku 4.5,Default,k,message,≤ 200k,output,0.02,0.02,token,,,a,',
    ].join('\n');
    expect(parseProviderUsage(text, NO_ALIASES).days).toEqual([
      { day: '2026-11-12', model: 'claude-haiku-4-5', figures: [70_000] },
    ]);
  });

  test('of another kind, or with what is no amount or day, is an error that tells where', () => {
    expect(() => parseProviderUsage('a,b\n1,2', NO_ALIASES)).toThrow('has these columns: a, b');
    expect(() => parseProviderUsage('', NO_ALIASES)).toThrow('none');
    const row = (input: string, day = '2026-11-12'): string =>
      `${ANTHROPIC_USAGE}\n${day},m,k,w,u,c,${input},0,0,0,0,0,g,s`;
    for (const bad of ['x', '-1', 'NaN', 'Infinity']) {
      expect(() => parseProviderUsage(row(bad), NO_ALIASES)).toThrow(`line 2: usage_input_tokens_no_cache "${bad}"`);
    }
    expect(() => parseProviderUsage(row('1', '2026-02-30'), NO_ALIASES)).toThrow('"2026-02-30" is not a day');
  });

  test('a dated version is its model, and an alias is ours', () => {
    expect(
      ['gpt-5-mini-2025-08-07', 'claude-haiku-4-5-20251001', 'Claude Opus 4.5', 'mistral-large-2512', 'x-latest'].map(
        canonicalModel,
      ),
    ).toEqual(['gpt-5-mini', 'claude-haiku-4-5', 'claude-opus-4-5', 'mistral-large-2512', 'x']);
    const text = 'start_time_iso,num_model_requests,model,input_tokens\n2026-11-12T00:00:00,1,ft:abc,12';
    expect(parseProviderUsage(text, new Map([['ft:abc', 'tutor']])).days[0]?.model).toBe('tutor');
  });
});

describe('aegis report reconcile', () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'aegis-reconcile-'));
    const audit = await openAuditLog({ home });
    const at = (day: string): string => `2026-11-${day}T10:00:00.000Z`;
    const claude = { model: 'claude-haiku-4-5', upstream: 'anthropic' };
    const records = [
      outcome('1', {
        time: at('12'),
        usage: { input: 900, cache_read: 100, output: 40, reasoning: 10 },
        microUsd: 500,
      }),
      outcome('2', {
        time: at('12'),
        usage: { input: 100, output: 50 },
        microUsd: 250,
      }),
      outcome('3', {
        time: at('13'),
        usage: { input: 5, output: 5 },
        microUsd: 20,
      }),
      outcome('4', {
        time: at('13'),
        outcome: 'denied',
        model: null,
        upstream: null,
        attempts: [],
      }),
      outcome('5', {
        time: at('12'),
        ...claude,
        usage: { input: 7, cache_write: 3, cache_write_1h: 2, output: 1 },
      }),
    ];
    for (const record of records) await audit.append(record);
    await audit.close();
  });
  afterAll(async () => {
    await rm(home, { recursive: true });
  });
  afterEach(() => {
    process.exitCode = 0;
  });

  const usageOf = (rows: readonly string[]): string => [OPENAI_USAGE, ...rows].join('\n');
  const used = (day: string, model: string, input: number, output: number, cached: number): string =>
    `${seconds(`2026-11-${day}T08:00:00Z`)},,,,p,1,,k,${model},False,,${input},${output},${cached},0,0`;
  const compare = async (text: string, ...args: string[]): Promise<string> => {
    const file = join(home, 'export.csv');
    await writeFile(file, text);
    return runCommand(reportCommand(), 'reconcile', '--home', home, '--provider-csv', file, ...args);
  };

  test('books that agree say so and exit 0', async () => {
    const text = usageOf([used('12', 'gpt-5-mini-2025-08-07', 1_100, 100, 100), used('13', 'gpt-5-mini', 5, 5, 0)]);
    expect(await compare(text)).toMatchInlineSnapshot(`
     "OpenAI usage against the ledger’s openai, 2026-11-12 to 2026-11-13 (UTC days)
       total                       provider              ledger
       input                          1,005               1,005
       cache_read                       100                 100
       output                           105                 105
     all 2 pairs of day and model agree within 1 %
     "
    `);
    expect(process.exitCode ?? 0).toBe(0);
  });

  test('what differs is named by day, model and figure, and exits 1', async () => {
    const text = usageOf([
      used('12', 'gpt-5-mini', 1_100, 104, 100),
      used('12', 'gpt-6', 10, 20, 0),
      used('14', 'x', 0, 0, 0),
    ]);
    expect(await compare(text)).toMatchInlineSnapshot(`
     "OpenAI usage against the ledger’s openai, 2026-11-12 to 2026-11-14 (UTC days)
       total                       provider              ledger
       input                          1,010               1,005
       cache_read                       100                 100
       output                           124                 105
     ┌────────────┬────────────┬────────┬──────────┬────────┬────────────┬─────────────────────────┐
     │ day        │ model      │ figure │ provider │ ledger │ difference │                         │
     ├────────────┼────────────┼────────┼──────────┼────────┼────────────┼─────────────────────────┤
     │ 2026-11-12 │ gpt-5-mini │ output │      104 │    100 │    -3.85 % │                         │
     │ 2026-11-12 │ gpt-6      │ input  │       10 │      0 │     -100 % │ missing in the ledger   │
     │ 2026-11-12 │ gpt-6      │ output │       20 │      0 │     -100 % │ missing in the ledger   │
     │ 2026-11-13 │ gpt-5-mini │ input  │        0 │      5 │     +100 % │ missing at the provider │
     │ 2026-11-13 │ gpt-5-mini │ output │        0 │      5 │     +100 % │ missing at the provider │
     └────────────┴────────────┴────────┴──────────┴────────┴────────────┴─────────────────────────┘
     5 figures differ by more than 1 %, of 3 pairs of day and model
     "
    `);
    expect(process.exitCode).toBe(1);
  });

  test('a tolerance lets figures be apart so far and no further', async () => {
    const text = usageOf([used('12', 'gpt-5-mini', 1_100, 104, 100)]);
    const agrees = async (tolerance: string): Promise<boolean> =>
      JSON.parse(await compare(text, '--json', '--tolerance', tolerance)).agrees;
    expect(await agrees('4%')).toBe(true);
    expect(await agrees('3.8%')).toBe(false);
    expect(await agrees('0%')).toBe(false);
    await expect(compare(text, '--tolerance', 'much')).rejects.toMatchObject({
      name: 'CommanderError',
    });
  });

  test('only the days of the export, or those asked for, are compared, and only its upstreams', async () => {
    const text = usageOf([used('12', 'gpt-5-mini', 1_100, 100, 100), used('13', 'gpt-5-mini', 9, 9, 0)]);
    expect(JSON.parse(await compare(text, '--json', '--until', '2026-11-12'))).toMatchObject({
      agrees: true,
      compared: 1,
    });
    const anthropic = `${ANTHROPIC_USAGE}\n2026-11-12,claude-haiku-4-5-20251001,k,w,u,c,7,3,2,0,1,0,g,s`;
    expect(JSON.parse(await compare(anthropic, '--json'))).toMatchObject({
      agrees: true,
      upstreams: ['anthropic'],
    });
    const both = JSON.parse(await compare(anthropic, '--json', '--upstream', 'anthropic,openai'));
    expect(both.differences.map(({ model, kind }: { model: string; kind: string }) => [model, kind])[0]).toEqual([
      'gpt-5-mini',
      'missing at the provider',
    ]);
  });

  test('costs without models are compared by day', async () => {
    const at = (day: string): number => seconds(`2026-11-${day}T00:00:00Z`);
    const costs = (first: string): string =>
      `${OPENAI_COSTS}\n${at('12')},,,,${first},usd,,,,,,,,,,,\n${at('13')},,,,0.00002,usd,,,,,,,,,,,`;
    expect(JSON.parse(await compare(costs('0.00075'), '--json'))).toMatchObject({ agrees: true, compared: 2 });
    expect(JSON.parse(await compare(costs('0.00085'), '--json')).differences).toMatchObject([
      {
        day: '2026-11-12',
        model: '',
        figure: 'cost',
        provider: 850,
        ledger: 750,
        kind: 'differs',
      },
    ]);
  });

  test('a file that is none, or has nothing in the range, is a sentence', async () => {
    await expect(compare('a,b\n')).rejects.toMatchObject({ name: 'CliError' });
    await expect(compare(usageOf([]))).rejects.toMatchObject({
      name: 'CliError',
    });
    const text = usageOf([used('12', 'gpt-5-mini', 1, 1, 0)]);
    await expect(compare(text, '--since', '2026-11-20', '--until', '2026-11-21')).rejects.toMatchObject({
      name: 'CliError',
    });
    const missing = runCommand(reportCommand(), 'reconcile', '--home', home, '--provider-csv', join(home, 'none.csv'));
    await expect(missing).rejects.toMatchObject({
      message: expect.stringContaining('ENOENT'),
    });
  });
});

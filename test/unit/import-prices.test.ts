import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { readSchema, validator } from '../../gateway/schema.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/import-prices.ts', import.meta.url));
const isPolicyData = validator(readSchema('policy-data'));

const ENTRY = {
  mode: 'chat',
  max_input_tokens: 200000,
  max_output_tokens: 64000,
  input_cost_per_token: 1e-7,
  output_cost_per_token: 5e-7,
  cache_read_input_token_cost: 1e-8,
  cache_creation_input_token_cost: 1.25e-7,
  cache_creation_input_token_cost_above_1hr: 2e-7,
  input_cost_per_token_above_100k_tokens: 5e-7,
  output_cost_per_token_above_100k_tokens: 2.5e-6,
  cache_creation_input_token_cost_above_1hr_above_100k_tokens: 1e-6,
  input_cost_per_token_batches: 5e-8,
  deprecation_date: '2027-04-01',
  supports_vision: true,
  supports_pdf_input: true,
};
const USE = { title: 'A', class: 'cheap', upstreams: { anthropic: 'a-2026' } };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-prices-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => rm(join(folder, 'data.yaml'), { force: true }));

interface Result {
  code: number;
  stderr: string;
  text: string;
}

const importPrices = async (catalogue: object, inUse: object, ...flags: string[]): Promise<Result> => {
  await writeFile(join(folder, 'catalogue.json'), JSON.stringify(catalogue));
  await writeFile(join(folder, 'in-use.yaml'), JSON.stringify(inUse));
  const files = ['catalogue.json', '--in-use', 'in-use.yaml', '--out', 'data.yaml'];
  const { code, stderr } = await new Promise<Omit<Result, 'text'>>((resolve) => {
    const args = ['--disable-warning=ExperimentalWarning', SCRIPT, ...files, ...flags];
    execFile(process.execPath, args, { cwd: folder }, (error, _, text) =>
      resolve({ code: Number(error?.code ?? 0), stderr: text }),
    );
  });
  return { code, stderr, text: await readFile(join(folder, 'data.yaml'), 'utf8').catch(() => '') };
};

describe('the price import', () => {
  test('turns dollars a token into dollars a million tokens, by class, with the tier of long prompts', async () => {
    const { text } = await importPrices({ a: ENTRY }, { a: USE });
    const models = parse(text);
    expect(isPolicyData({ models })).toBe(true);
    expect(models).toEqual({
      a: {
        title: 'A',
        class: 'cheap',
        upstreams: { anthropic: 'a-2026' },
        modalities: ['text', 'image', 'document'],
        context_tokens: 200000,
        max_output_tokens: 64000,
        deprecation_date: '2027-04-01',
        usd_per_million_tokens: { input: 0.1, cache_read: 0.01, cache_write: 0.125, cache_write_1h: 0.2, output: 0.5 },
        long_context: {
          above_tokens: 100000,
          usd_per_million_tokens: { input: 0.5, cache_write_1h: 1, output: 2.5 },
        },
      },
    });
  });

  test('quotes dates, which the compiler would read as timestamps, and names source and licence', async () => {
    const { text } = await importPrices({ a: ENTRY }, { a: USE });
    expect(text).toContain('deprecation_date: "2027-04-01"');
    expect(text).toMatch(/^# [\s\S]*LiteLLM[\s\S]*MIT licence[\s\S]*sha256 [0-9a-f]{64}/);
  });

  test('takes the figures of a model that no catalogue knows from the list itself', async () => {
    const own = {
      modalities: ['text'],
      context_tokens: 8192,
      max_output_tokens: 1024,
      deprecation_date: null,
      usd_per_million_tokens: { input: 0.02, output: 0.08 },
    };
    const { text } = await importPrices({}, { mine: { ...USE, own } });
    expect(parse(text)).toEqual({ mine: { ...USE, ...own } });
  });

  test('takes a model for embeddings, which has neither output tokens nor a price of them', async () => {
    const entry = { mode: 'embedding', max_input_tokens: 8192, input_cost_per_token: 1e-7, max_output_tokens: null };
    const use = { ...USE, endpoints: ['embeddings'] };
    const { text } = await importPrices({ a: entry }, { a: use });
    expect(isPolicyData({ models: parse(text) })).toBe(true);
    expect(parse(text)).toEqual({
      a: {
        ...use,
        modalities: ['text'],
        context_tokens: 8192,
        max_output_tokens: 0,
        deprecation_date: null,
        usd_per_million_tokens: { input: 0.1, output: 0 },
      },
    });
  });

  test.each([
    ['embeddings from a model that chats', { a: ENTRY }, ['embeddings'], 'not a model of mode embedding but chat'],
    ['embeddings beside other operations', { a: ENTRY }, ['embeddings', 'messages'], 'answers nothing else'],
    ['legacy completions from a model that chats', { a: ENTRY }, ['completions'], 'not a model of mode completion'],
  ])('refuses %s', async (_, catalogue, endpoints, message) => {
    const { code, stderr } = await importPrices(catalogue, { a: { ...USE, endpoints } });
    expect({ code, says: stderr.includes(message) }).toEqual({ code: 1, says: true });
  });

  test.each([
    ['a model that is not in the catalogue', {}, 'a: a is not in the catalogue'],
    ['a model without an output price', { ...ENTRY, output_cost_per_token: undefined }, 'output price is missing'],
    ['a negative price', { ...ENTRY, input_cost_per_token: -1 }, 'is not a price'],
    ['a model without a size', { ...ENTRY, max_input_tokens: null }, 'max_input_tokens is missing'],
    ['a model that does not chat', { ...ENTRY, mode: 'embedding' }, 'not a model of mode chat but embedding'],
    ['a date that is none', { ...ENTRY, deprecation_date: 'soon' }, 'not a date'],
    ['two tiers of long prompts', { ...ENTRY, input_cost_per_token_above_200k_tokens: 1e-6 }, 'more than one tier'],
  ])('refuses %s and writes nothing', async (_, entry, message) => {
    const { code, stderr, text } = await importPrices(Object.keys(entry).length ? { a: entry } : {}, { a: USE });
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(text).toBe('');
  });

  test('with --check tells a file that is out of date from one that is not', async () => {
    await importPrices({ a: ENTRY }, { a: USE });
    expect((await importPrices({ a: ENTRY }, { a: USE }, '--check')).code).toBe(0);
    const dearer = { ...ENTRY, output_cost_per_token: 6e-7 };
    expect(await importPrices({ a: dearer }, { a: USE }, '--check')).toMatchObject({ code: 1 });
  });
});

import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Ask, AskError, type ChatRequest } from '../../../gateway/evaluate/ask.ts';
import { openJournal } from '../../../gateway/evaluate/journal.ts';
import { type PlannedCall, type RunOptions, runCalls } from '../../../gateway/evaluate/run-calls.ts';

let folder: string;
let file: string;
let round = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-eval-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => {
  file = join(folder, `${++round}`, 'journal.jsonl');
});

const SUITE = 'a'.repeat(64);
const calls = (count: number): PlannedCall[] =>
  Array.from({ length: count }, (_, at) => ({
    call: `call ${at}`,
    request: { model: 'small', messages: [{ role: 'user', content: String(at) }], parameters: {} },
  }));
const contentOf = ({ messages }: ChatRequest): string => (messages[0] as { content: string }).content;

const answering =
  (asked: string[], costMicroUsd = 10): Ask =>
  async (request) => {
    asked.push(contentOf(request));
    await new Promise((resolve) => setImmediate(resolve));
    return { text: 'yes', ms: 1, costMicroUsd, inputTokens: 1, outputTokens: 1, decisionId: 'dec' };
  };

const run = async (planned: readonly PlannedCall[], changes: Partial<RunOptions>) => {
  const journal = await openJournal(file, SUITE);
  try {
    const end = await runCalls(planned, {
      ask: answering([]),
      journal,
      concurrency: 4,
      budgetMicroUsd: 1_000_000,
      boundOf: () => 20,
      repeatLost: false,
      signal: new AbortController().signal,
      ...changes,
    });
    return { end, results: new Map(journal.results), lost: new Set(journal.lost) };
  } finally {
    await journal.close();
  }
};

describe('a run', () => {
  test('makes every call once, and none when it is run again', async () => {
    const asked: string[] = [];
    expect((await run(calls(50), { ask: answering(asked) })).end).toEqual({ reason: 'done' });
    expect(new Set(asked).size).toBe(50);
    const { results } = await run(calls(50), { ask: answering(asked) });
    expect([asked.length, results.size]).toEqual([50, 50]);
  });

  test('makes no more at a time than it may', async () => {
    let open = 0;
    let most = 0;
    const ask: Ask = async () => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setTimeout(resolve, 2));
      open--;
      return { text: '', ms: 1, costMicroUsd: 0, inputTokens: 0, outputTokens: 0, decisionId: null };
    };
    await run(calls(30), { ask, concurrency: 3 });
    expect(most).toBe(3);
  });

  test('never spends more than its budget, though calls under way may cost what they can', async () => {
    const asked: string[] = [];
    const { end, results } = await run(calls(100), { ask: answering(asked, 20), budgetMicroUsd: 210 });
    expect(end).toEqual({ reason: 'budget' });
    const spent = [...results.values()].reduce((sum, { costMicroUsd }) => sum + costMicroUsd, 0);
    expect([spent, asked.length]).toEqual([200, 10]);
  });

  test('uses what calls cost less than they could', async () => {
    const { results } = await run(calls(100), { ask: answering([], 1), budgetMicroUsd: 100, boundOf: () => 30 });
    // Until 30 are no longer left.
    expect(results.size).toBe(71);
  });

  test('goes on with what was spent before', async () => {
    await run(calls(5), { ask: answering([], 20), budgetMicroUsd: 100 });
    const { end, results } = await run(calls(10), { ask: answering([], 20), budgetMicroUsd: 150 });
    expect([end.reason, results.size]).toEqual(['budget', 7]);
  });

  test('that is stopped lets the calls under way end, and is resumed', async () => {
    const stop = new AbortController();
    const asked: string[] = [];
    const ask: Ask = async (request, signal) => {
      if (asked.length === 9) stop.abort();
      return answering(asked)(request, signal);
    };
    const first = await run(calls(40), { ask, signal: stop.signal });
    expect(first.end).toEqual({ reason: 'stopped' });
    expect(first.results.size).toBe(asked.length);
    expect(first.lost.size).toBe(0);
    await run(calls(40), { ask: answering(asked) });
    expect([asked.length, new Set(asked).size]).toEqual([40, 40]);
  });

  test('keeps a call that fails as a result, with what it cost', async () => {
    const ask: Ask = async (request) => {
      if (contentOf(request) === '1') throw new AskError('500 upstream_error: broken', { costMicroUsd: 7 });
      return answering([])(request, new AbortController().signal);
    };
    const { end, results } = await run(calls(3), { ask });
    expect(end.reason).toBe('done');
    expect(results.get('call 1')).toMatchObject({ error: '500 upstream_error: broken', costMicroUsd: 7, text: '' });
  });

  test('ends when no further call would be answered', async () => {
    const asked: string[] = [];
    const ask: Ask = async (request) => {
      asked.push(contentOf(request));
      throw new AskError('401 invalid_credential: no such key', { isFinal: true, isUnasked: true });
    };
    const { end } = await run(calls(100), { ask, concurrency: 2 });
    expect(end).toEqual({ reason: 'failed', message: '401 invalid_credential: no such key' });
    expect(asked.length).toBeLessThanOrEqual(2);
    // Nothing was paid, so nothing is lost.
    expect((await run(calls(100), {})).results.size).toBe(100);
  });

  test('does not make a call again of which it is not certain that no model was asked', async () => {
    const ask: Ask = async () => {
      throw new AskError('the gateway does not answer: ECONNRESET', { isFinal: true });
    };
    const { lost } = await run(calls(10), { ask, concurrency: 1 });
    expect([...lost]).toEqual(['call 0']);
  });
});

describe('after a crash', () => {
  const crashed = async (): Promise<void> => {
    await run(calls(3), {});
    await appendFile(file, `${JSON.stringify({ kind: 'asked', call: 'call 3' })}\n`);
  };

  test('a call whose result is lost is not made again', async () => {
    await crashed();
    const asked: string[] = [];
    const { lost } = await run(calls(6), { ask: answering(asked) });
    expect(asked.sort()).toEqual(['4', '5']);
    expect([...lost]).toEqual(['call 3']);
  });

  test('it is when that is wanted', async () => {
    await crashed();
    const asked: string[] = [];
    const { lost } = await run(calls(6), { ask: answering(asked), repeatLost: true });
    expect([asked.sort(), lost.size]).toEqual([['3', '4', '5'], 0]);
  });

  test('a line that was cut is removed, and what follows is whole', async () => {
    await crashed();
    await appendFile(file, '{"kind":"result","call":"ca');
    await run(calls(6), {});
    for (const line of (await readFile(file, 'utf8')).trim().split('\n')) JSON.parse(line);
  });
});

describe('a journal', () => {
  test('of another suite is not gone on with', async () => {
    await run(calls(1), {});
    await expect(openJournal(file, 'b'.repeat(64))).rejects.toThrow('another version of the suite');
  });

  test('that is damaged is refused with its line', async () => {
    await run(calls(2), {});
    const lines = (await readFile(file, 'utf8')).split('\n');
    lines[1] = 'nonsense';
    await writeFile(file, lines.join('\n'));
    await expect(openJournal(file, SUITE)).rejects.toThrow('journal.jsonl:2 is damaged');
  });
});

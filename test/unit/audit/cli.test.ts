import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, jest, test } from '@jest/globals';
import { contentOf, draftedOf, intentOf, outcomeOf, withHome } from '../../support/audit.ts';

// Each case starts the program several times.
jest.setTimeout(120_000);

const MAIN = fileURLToPath(new URL('../../../gateway/main.ts', import.meta.url));

const aegis = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });

/** A home with one decision that was answered and one that is open. */
const withLog = (use: (home: string) => Promise<void>): Promise<void> =>
  withHome(async (home, open) => {
    const log = await open();
    await log.append(intentOf('dec_1'), contentOf('the prompt'));
    await log.append(outcomeOf('dec_1'), contentOf('the answer'));
    await log.append(intentOf('dec_2', 'alex'), contentOf('another prompt'));
    await log.close();
    await use(home);
  });

describe('aegis audit', () => {
  test('verify exits 0 on a good log with an open intent, 1 on a changed one and names the record', () =>
    withLog(async (home) => {
      const good = await aegis('audit', 'verify', '--home', home);
      expect(good).toMatchObject({ code: 0, out: expect.stringMatching(/^good /) });
      expect(good.out).toMatch(/1 intent waits for its outcome: dec_2/);
      const segment = join(home, 'audit', 'chain', '0000000001.log');
      const bytes = await readFile(segment);
      const at = bytes.indexOf('"status":200') + 10;
      bytes[at] = 0x35;
      await writeFile(segment, bytes);
      const bad = await aegis('audit', 'verify', '--home', home);
      expect(bad.code).toBe(1);
      expect(bad.out).toMatch(/^BAD +record 3 \(segment 1, offset \d+, id dec_1\): the chain hash is wrong/);
      const json = await aegis('audit', 'verify', '--home', home, '--json');
      expect(JSON.parse(json.out)).toMatchObject({ ok: false, bad: { index: 3, segment: 1, id: 'dec_1' } });
    }));

  test('verify takes checkpoints kept elsewhere, and says in a sentence what it cannot use', () =>
    withLog(async (home) => {
      const kept = join(home, 'kept');
      await writeFile(kept, await readFile(join(home, 'audit', 'checkpoints')));
      expect(await aegis('audit', 'verify', '--home', home, '--checkpoint', kept)).toMatchObject({ code: 0 });
      const missing = await aegis('audit', 'verify', '--home', home, '--checkpoint', join(home, 'none'));
      expect(missing).toMatchObject({ code: 1, err: expect.stringMatching(/none cannot be read: ENOENT\n$/) });
      const nowhere = await aegis('audit', 'verify', '--home', join(home, 'elsewhere'));
      expect(nowhere).toMatchObject({ code: 1, err: expect.stringMatching(/there is no audit log in/) });
    }));

  test('show prints the records and the content in clear; an unknown id exits 1', () =>
    withLog(async (home) => {
      const { out } = await aegis('audit', 'show', 'dec_1', '--home', home);
      expect(out).toMatch(/the prompt[\s\S]*the answer/);
      expect(await aegis('audit', 'show', 'dec_9', '--home', home)).toMatchObject({ code: 1 });
    }));

  test('export prints JSON lines, those since a time only when asked', () =>
    withLog(async (home) => {
      const all = (await aegis('audit', 'export', '--home', home)).out.trim().split('\n');
      expect(all.map((line) => JSON.parse(line).kind)).toEqual([
        'event',
        'event',
        'intent',
        'outcome',
        'intent',
        'event',
      ]);
      const future = '2100-01-01T00:00:00Z';
      expect((await aegis('audit', 'export', '--home', home, '--since', future)).out).toBe('');
      expect(await aegis('audit', 'export', '--home', home, '--since', 'soon')).toMatchObject({ code: 1 });
    }));

  test('erase destroys by id or by user, records it, and needs one of the two', () =>
    withLog(async (home) => {
      expect(await aegis('audit', 'erase', '--home', home)).toMatchObject({ code: 2 });
      expect((await aegis('audit', 'erase', 'dec_1', '--home', home)).out).toMatch(
        /erased +2 contents of 1 decision\n/,
      );
      expect((await aegis('audit', 'erase', '--user', 'alex', '--home', home)).out).toMatch(
        /1 content of 1 decision\n/,
      );
      const shown = await aegis('audit', 'show', 'dec_1', '--home', home);
      expect(shown.out).not.toMatch(/the prompt|the answer/);
      expect(shown.out).toMatch(/\(erased\)/);
      const verified = await aegis('audit', 'verify', '--home', home, '--json');
      expect(JSON.parse(verified.out)).toMatchObject({
        ok: true,
        erased: ['dec_1', 'dec_2'],
        contents: { kept: 0, erased: 3 },
      });
    }));

  test('erasing a decision erases what its mirrors keep of the same prompt, and nothing else', () =>
    withHome(async (home, open) => {
      const log = await open();
      const copy = { mirror_of: 'dec_1' };
      for (const [id, of] of [['dec_1'], ['dec_m', copy], ['dec_2'], ['dec_n', { mirror_of: 'dec_2' }]] as const) {
        await log.append({ ...intentOf(id), ...of }, contentOf('the prompt'));
        await log.append({ ...outcomeOf(id), ...of }, contentOf('the answer'));
      }
      await log.close();
      const erased = await aegis('audit', 'erase', 'dec_1', '--home', home, '--json');
      expect(JSON.parse(erased.out)).toEqual({ contents: 4, decisions: 2, recorded: true });
      const { out } = await aegis('audit', 'verify', '--home', home, '--json');
      expect(JSON.parse(out)).toMatchObject({ ok: true, erased: ['dec_1', 'dec_m'], contents: { kept: 4, erased: 4 } });
    }));

  test('a long answer in pieces is shown whole, exported, erased as one content and verified', () =>
    withHome(async (home, open) => {
      const log = await open();
      await log.append(intentOf('dec_long'), contentOf('the prompt'));
      const ref = await log.append(outcomeOf('dec_long'), await draftedOf(log, ['a long ', 'answer in '], 'pieces'));
      await log.close();
      expect((await aegis('audit', 'show', 'dec_long', '--home', home)).out).toMatch(/a long answer in pieces/);
      const lines = (await aegis('audit', 'export', '--home', home)).out.trim().split('\n');
      expect(lines.map((line) => JSON.parse(line)).find(({ kind }) => kind === 'outcome').content).toEqual(ref);
      const erased = await aegis('audit', 'erase', 'dec_long', '--reason', 'asked', '--home', home, '--json');
      expect(JSON.parse(erased.out)).toEqual({ contents: 2, decisions: 1, recorded: true });
      const shown = await aegis('audit', 'show', 'dec_long', '--home', home);
      expect(shown.out).toMatch(/answer\n {2}\(erased\)/);
      const verified = await aegis('audit', 'verify', '--home', home, '--json');
      expect(JSON.parse(verified.out)).toMatchObject({
        ok: true,
        erased: ['dec_long'],
        contents: { kept: 0, erased: 2 },
      });
    }));
});

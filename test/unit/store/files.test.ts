import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openDatabase } from '../../../gateway/store/database.ts';
import { openPepper } from '../../../gateway/store/pepper.ts';

const run = promisify(execFile);
const url = (file: string): string => JSON.stringify(new URL(`../../../gateway/store/${file}`, import.meta.url).href);
const script = (text: string): Promise<{ stdout: string }> =>
  run(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', text]);
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

describe('the files of the store', () => {
  let home: string;
  beforeEach(async () => {
    home = join(await mkdtemp(join(tmpdir(), 'aegis-files-')), 'home');
  });
  afterEach(async () => {
    await rm(join(home, '..'), { recursive: true });
  });

  test('only the owner can read the folder, the database and its log, and the pepper', async () => {
    const store = await openDatabase(home);
    openPepper(home);
    await store.db.insertInto('facts').values({ name: 'x', value: 'y' }).execute();
    expect(await modeOf(home)).toBe(0o700);
    const names = (await readdir(home)).sort();
    expect(names).toEqual(['aegis.db', 'aegis.db-shm', 'aegis.db-wal', 'pepper']);
    for (const name of names) expect(await modeOf(join(home, name))).toBe(0o600);
    await store.close();
  });

  test('every commit is synced', async () => {
    const store = await openDatabase(home);
    const { sql } = await import('kysely');
    expect((await sql`pragma synchronous`.execute(store.db)).rows).toEqual([{ synchronous: 2 }]);
    expect((await sql`pragma journal_mode`.execute(store.db)).rows).toEqual([{ journal_mode: 'wal' }]);
    await store.close();
  });

  test('several processes may make the same home at once', async () => {
    const text = `
      const { openDatabase } = await import(${url('database.ts')});
      const { openPepper } = await import(${url('pepper.ts')});
      const store = await openDatabase(${JSON.stringify(home)});
      console.log(Buffer.from(openPepper(${JSON.stringify(home)})).toString('hex'));
      await store.close();`;
    const answers = await Promise.all(Array.from({ length: 4 }, () => script(text)));
    expect(new Set(answers.map(({ stdout }) => stdout)).size).toBe(1);
    expect((await readdir(home)).filter((name) => name.startsWith('pepper'))).toEqual(['pepper']);
  });

  test('a database of a newer gateway is refused', async () => {
    const store = await openDatabase(home);
    await store.db.insertInto('migrations').values({ name: '999-future', applied_ms: 1 }).execute();
    await store.close();
    await expect(openDatabase(home)).rejects.toThrow('newer gateway: unknown migration 999-future');
  });

  test('a pepper is made once', async () => {
    const pepper = openPepper(home);
    expect(pepper).toHaveLength(32);
    expect(openPepper(home)).toEqual(pepper);
    expect(new Uint8Array(await readFile(join(home, 'pepper')))).toEqual(new Uint8Array(pepper));
  });

  test('a pepper that others can read or that is cut is refused', async () => {
    openPepper(home);
    await chmod(join(home, 'pepper'), 0o640);
    expect(() => openPepper(home)).toThrow('chmod 600');
    await chmod(join(home, 'pepper'), 0o600);
    await writeFile(join(home, 'pepper'), 'short');
    expect(() => openPepper(home)).toThrow('damaged');
  });
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { ContentReader } from '../../gateway/audit/content.ts';
import { auditLayout } from '../../gateway/audit/layout.ts';
import { openAuditLog } from '../../gateway/audit/log.ts';
import { readAudit } from '../../gateway/audit/read.ts';
import { verifyAudit } from '../../gateway/audit/verify.ts';
import { answerPieces } from '../support/audit.ts';

const APPENDER = fileURLToPath(new URL('../support/audit-appender.ts', import.meta.url));
const KILLS = 30;

/** Lets a process append, kills it at a random moment, and gives what it had acknowledged. */
const appendAndDie = async (home: string, run: number): Promise<{ lines: string[]; openedMs: number }> => {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', APPENDER, home, String(run)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const lines: string[] = [];
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line === 'ready') resolve();
    else lines.push(line);
  });
  child.once('exit', () => reject(new Error(`the appender ended by itself: ${lines.join(' | ').slice(0, 200)}`)));
  await ready;
  await sleep(Math.random() * 60);
  child.kill('SIGKILL');
  await closed;
  const [opening, ...acknowledged] = lines as [string, ...string[]];
  return { lines: acknowledged, openedMs: Number(opening.split(' ')[1]) };
};

describe('kill -9 of a process that appends under load', () => {
  test(`${KILLS} times: no acknowledged record or answer is lost, none is doubled, and the next start takes at most 2 s`, async () => {
    const home = await mkdtemp(join(tmpdir(), 'aegis-audit-kill-'));
    const reader = new ContentReader(auditLayout(home));
    try {
      const acknowledged = new Set<string>();
      for (let run = 0; run < KILLS; run++) {
        const { lines, openedMs } = await appendAndDie(home, run);
        for (const line of lines) acknowledged.add(line);
        expect(openedMs).toBeLessThan(2000);
      }
      expect(acknowledged.size).toBeGreaterThan(KILLS * 10);
      const recorded = new Map<string, number>();
      let longAnswers = 0;
      for await (const { record } of readAudit(home)) {
        if (record.kind !== 'intent' && record.kind !== 'outcome') continue;
        const line = `${record.kind} ${record.id}`;
        recorded.set(line, (recorded.get(line) ?? 0) + 1);
        if (record.kind !== 'outcome' || !record.content) continue;
        longAnswers += 1;
        const answer = (await reader.decrypt(record.content))?.toString('utf8');
        // The last kill may have taken the answer of an outcome that nobody was told of; it is never another one.
        const isTaken = answer === undefined && !acknowledged.has(line);
        expect(isTaken || answer === answerPieces(record.id ?? '').join('')).toBe(true);
      }
      expect(longAnswers).toBeGreaterThan(KILLS);
      expect([...acknowledged].filter((line) => !recorded.has(line))).toEqual([]);
      expect([...recorded].filter(([, times]) => times !== 1)).toEqual([]);
      // The next start tells which contents the last kill took from records that nobody was told of.
      const log = await openAuditLog({ home, onWarning: () => {} });
      await log.close();
      const report = await verifyAudit(home);
      expect(report).toMatchObject({ ok: true, problems: [] });
      // Every earlier run's intents got their outcome from the run after it; only the last run's are open.
      expect(report.openIntents.filter((id) => !id.startsWith(`run${KILLS - 1}-`))).toEqual([]);
    } finally {
      await reader.close();
      await rm(home, { recursive: true, force: true });
    }
  }, 240_000);
});

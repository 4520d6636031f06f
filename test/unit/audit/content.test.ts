import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ContentReader } from '../../../gateway/audit/content.ts';
import { localDisk } from '../../../gateway/audit/disk.ts';
import { erasable, eraseContents } from '../../../gateway/audit/erase.ts';
import { findDecision } from '../../../gateway/audit/find.ts';
import { auditLayout, parseContentName } from '../../../gateway/audit/layout.ts';
import { verifyAudit } from '../../../gateway/audit/verify.ts';
import { contentOf, entriesOf, intentOf, outcomeOf, withHome } from '../../support/audit.ts';

const DAY_MS = 86_400_000;

const decrypted = async (home: string, ref: Parameters<ContentReader['decrypt']>[0]): Promise<string | undefined> => {
  const reader = new ContentReader(auditLayout(home));
  try {
    return (await reader.decrypt(ref))?.toString('utf8');
  } finally {
    await reader.close();
  }
};

const eraseDecision = async (home: string, id: string): Promise<void> => {
  const found = await findDecision(home, id);
  const contents = [found?.intent, found?.outcome].flatMap((record) => (record && erasable(record)) ?? []);
  await eraseContents(auditLayout(home), localDisk, contents, 'asked for', Date.now());
};

describe('kept content', () => {
  test('content comes back as it was, in as many pieces as it came, and lies nowhere in clear', () =>
    withHome(async (home, open) => {
      const log = await open();
      const chunks = ['a secret ', 'of ünïcode', ''].map((text) => Buffer.from(text));
      const ref = await log.append(intentOf('d1'), { chunks, retentionDays: 3 });
      const empty = await log.append(outcomeOf('d1'), { chunks: [], retentionDays: 3 });
      expect(await decrypted(home, ref as NonNullable<typeof ref>)).toBe('a secret of ünïcode');
      expect(await decrypted(home, empty as NonNullable<typeof empty>)).toBe('');
      const { content } = auditLayout(home);
      for (const name of await readdir(content))
        expect((await readFile(join(content, name))).includes('secret')).toBe(false);
    }));

  test('a segment holds one day and one retention', () =>
    withHome(async (_home, open) => {
      let now = Date.parse('2026-11-24T23:59:00Z');
      const log = await open({ now: () => now });
      const segments = [];
      for (const days of [7, 30, 7])
        segments.push((await log.append(intentOf(`d${segments.length}`), contentOf('x', days)))?.segment);
      now += 120_000;
      segments.push((await log.append(intentOf('next'), contentOf('x', 7)))?.segment);
      expect(segments).toEqual(['2026-11-24-r7-1', '2026-11-24-r30-2', '2026-11-24-r7-1', '2026-11-25-r7-3']);
    }));

  test('no record can name a file outside the content folder', () => {
    for (const name of ['../keys/x', '2026-11-24-r7-1/../x', '2026-11-24-r7-1.seg', ''])
      expect(parseContentName(name)).toBeUndefined();
  });
});

describe('retention', () => {
  test('at its end key and content go, others stay, and verify names what expired', () =>
    withHome(async (home, open) => {
      const start = Date.now();
      const log = await open();
      const short = await log.append(intentOf('d1'), contentOf('short', 2));
      const long = await log.append(outcomeOf('d1'), contentOf('long', 30));
      await log.close();
      let now = start + 2 * DAY_MS;
      await (await open({ now: () => now })).close();
      expect(await decrypted(home, short as NonNullable<typeof short>)).toBe('short');
      now = start + 3 * DAY_MS;
      await (await open({ now: () => now })).close();
      const { content, keys } = auditLayout(home);
      expect(await readdir(content)).toEqual([`${long?.segment}.seg`]);
      expect(await readdir(keys)).toEqual([`${long?.segment}.key`]);
      expect(await verifyAudit(home, { now })).toMatchObject({
        ok: true,
        contents: { kept: 1, expired: 1 },
        expired: [short?.segment],
      });
      const events = (await entriesOf(home)).flatMap(({ record }) => (record.kind === 'event' ? [record.event] : []));
      expect(events).toContain('content_expired');
    }));
});

describe('erasing', () => {
  test('an erased content cannot be read again, the others can, and verify passes and names it', () =>
    withHome(async (home, open) => {
      const log = await open();
      await log.append(intentOf('gone'), contentOf('private prompt'));
      const other = await log.append(intentOf('other'), contentOf('kept'));
      await log.append(outcomeOf('gone'), contentOf('private answer'));
      await log.append(outcomeOf('other'));
      await log.close();
      await eraseDecision(home, 'gone');
      // Before the log has recorded it, the order that waits explains it.
      expect(await verifyAudit(home)).toMatchObject({ ok: true, erased: ['gone'] });
      await (await open()).close();
      expect(await readdir(auditLayout(home).erasures)).toEqual([]);
      expect(await verifyAudit(home)).toMatchObject({ ok: true, erased: ['gone'], contents: { kept: 1, erased: 2 } });
      expect(await decrypted(home, other as NonNullable<typeof other>)).toBe('kept');
      const found = await findDecision(home, 'gone');
      expect(found?.events).toMatchObject([
        { event: 'content_erased', detail: { ids: ['gone'], reason: 'asked for' } },
      ]);
      expect(await decrypted(home, found?.intent?.content as NonNullable<typeof other>)).toBeUndefined();
    }));

  test('a running log records an erasure by another process with its next checkpoint', () =>
    withHome(async (home, open) => {
      const log = await open({ checkpointMs: 20 });
      await log.append(intentOf('d1'), contentOf('x'));
      await eraseDecision(home, 'd1');
      while ((await readdir(auditLayout(home).erasures)).length > 0)
        await new Promise((resolve) => setTimeout(resolve, 10));
      const events = (await entriesOf(home)).flatMap(({ record }) => (record.kind === 'event' ? [record.event] : []));
      expect(events).toContain('content_erased');
      expect(await verifyAudit(home)).toMatchObject({ ok: true, erased: ['d1'] });
    }));

  test('content that a power loss took is lost and said so, but only when the last run did not stop cleanly', () =>
    withHome(async (home, open) => {
      const log = await open();
      const ref = await log.append(intentOf('d1'), contentOf('x'));
      const { chain, content } = auditLayout(home);
      const crashed = await readFile(join(chain, '0000000001.log'));
      await log.close();
      const clean = await readFile(join(chain, '0000000001.log'));
      const checkpoints = await readFile(auditLayout(home).checkpoints);
      await writeFile(join(content, `${ref?.segment}.seg`), '');
      await (await open()).close();
      expect(await verifyAudit(home)).toMatchObject({ ok: false, bad: { id: 'd1' } });
      expect(clean.length).toBeGreaterThan(crashed.length);
      await writeFile(join(chain, '0000000001.log'), crashed);
      await writeFile(
        auditLayout(home).checkpoints,
        checkpoints.subarray(0, checkpoints.indexOf('\n\n', checkpoints.indexOf('—')) + 2),
      );
      await (await open()).close();
      expect(await verifyAudit(home)).toMatchObject({ ok: true, contents: { lost: 1, kept: 0 } });
    }));
});

describe('finding a decision', () => {
  test('intent and outcome are found in whichever segments they lie, and an unknown id is not', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 2000 });
      await log.append(intentOf('early'));
      for (let index = 0; index < 20; index++) await log.append(outcomeOf(`d${index}`, { input: {}, decision: {} }));
      await log.append(outcomeOf('early'));
      const found = await findDecision(home, 'early');
      expect(found).toMatchObject({ intent: { id: 'early' }, outcome: { id: 'early' }, position: { segment: 1 } });
      expect(await findDecision(home, 'd7')).toMatchObject({ intent: undefined, outcome: { id: 'd7' } });
      expect(await findDecision(home, 'd')).toBeUndefined();
      expect(await findDecision(home, 'missing')).toBeUndefined();
    }));
});

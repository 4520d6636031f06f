import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { AuditLog } from '../../../gateway/audit/audit-log.ts';
import { ContentReader } from '../../../gateway/audit/content.ts';
import { type Content, framesOf } from '../../../gateway/audit/content-frames.ts';
import { type AppendFile, type AuditDisk, localDisk } from '../../../gateway/audit/disk.ts';
import { erasable, eraseContents } from '../../../gateway/audit/erase.ts';
import { auditLayout } from '../../../gateway/audit/layout.ts';
import { verifyAudit } from '../../../gateway/audit/verify.ts';
import { contentOf, draftedOf, entriesOf, idsOf, intentOf, outcomeOf, withHome } from '../../support/audit.ts';

const DAY_MS = 86_400_000;

const decrypted = async (home: string, content: Content | null): Promise<string | undefined> => {
  if (!content) throw new Error('there is no content');
  const reader = new ContentReader(auditLayout(home));
  try {
    return (await reader.decrypt(content))?.toString('utf8');
  } finally {
    await reader.close();
  }
};

/** Appends an intent and its outcome, whose content was written in pieces. */
const appendDrafted = async (
  log: AuditLog,
  id: string,
  pieces: readonly string[],
  rest: string | null,
): Promise<Content> => {
  await log.append(intentOf(id));
  const ref = await log.append(outcomeOf(id), await draftedOf(log, pieces, rest));
  if (!ref) throw new Error('there is no content');
  return ref;
};

const segmentsOf = (content: Content): string[] => framesOf(content).map(({ segment }) => segment);

/** A disk whose content files can be made to fail, hang or wait. */
const contentDisk = () => {
  const state = { error: undefined as string | undefined, gate: Promise.resolve(), appends: 0, syncs: 0 };
  const disk: AuditDisk = {
    ...localDisk,
    async openAppend(path, fresh) {
      const file = await localDisk.openAppend(path, fresh);
      if (!path.endsWith('.seg')) return file;
      const guarded: AppendFile = {
        ...file,
        async append(chunks) {
          state.appends += 1;
          await state.gate;
          if (state.error) throw Object.assign(new Error('write failed'), { code: state.error });
          await file.append(chunks);
        },
        async sync() {
          state.syncs += 1;
          await state.gate;
          if (state.error) throw Object.assign(new Error('sync failed'), { code: state.error });
          await file.sync();
        },
      };
      return guarded;
    },
  };
  return { state, disk };
};

describe('a content in pieces', () => {
  test('comes back as it was, also when a character lies in two pieces, and lies nowhere in clear', () =>
    withHome(async (home, open) => {
      const log = await open();
      const draft = log.openContent(30);
      const text = Buffer.from('a secret of ünïcode €€€');
      for (let at = 0; at < text.length; at += 4)
        await draft.write([text.subarray(at, at + 2), text.subarray(at + 2, at + 4)]);
      expect(draft.bytes).toBe(text.length);
      const ref = await log.append(intentOf('d1'), { chunks: [Buffer.from(' and its end')], retentionDays: 30, draft });
      expect(await decrypted(home, ref)).toBe('a secret of ünïcode €€€ and its end');
      expect(ref?.parts).toHaveLength(Math.ceil(text.length / 4));
      for (const name of await readdir(auditLayout(home).content)) {
        expect((await readFile(join(auditLayout(home).content, name))).includes('secret')).toBe(false);
      }
      expect(await verifyAudit(home)).toMatchObject({ ok: true, contents: { kept: 1 } });
    }));

  test('has no frame for a rest that is empty, and is an ordinary content when nothing was written', () =>
    withHome(async (home, open) => {
      const log = await open();
      const whole = await appendDrafted(log, 'd1', ['one ', 'two'], null);
      expect(framesOf(whole)).toHaveLength(2);
      expect(await decrypted(home, whole)).toBe('one two');
      const one = await appendDrafted(log, 'd2', ['one'], null);
      expect(one).not.toHaveProperty('parts');
      expect(await decrypted(home, one)).toBe('one');
      const plain = await appendDrafted(log, 'd3', [], 'rest');
      expect(plain).not.toHaveProperty('parts');
      expect(await decrypted(home, plain)).toBe('rest');
      const empty = await appendDrafted(log, 'd4', [], null);
      expect(await decrypted(home, empty)).toBe('');
    }));

  test('shares segments with the pieces of others, whichever way they interleave, and with nobody else', () =>
    withHome(async (home, open) => {
      const log = await open();
      const drafts = Array.from({ length: 20 }, () => log.openContent(30));
      const small: Content[] = [];
      for (let round = 0; round < 10; round++) {
        await Promise.all(drafts.map((draft, number) => draft.write([Buffer.from(`${number}.${round} `)])));
        const ref = await log.append(intentOf(`small-${round}`), contentOf(`small ${round}`));
        if (ref) small.push(ref);
      }
      const refs = await Promise.all(
        drafts.map((draft, number) =>
          log.append(intentOf(`d${number}`), { chunks: [Buffer.from('end')], retentionDays: 30, draft }),
        ),
      );
      for (const [number, ref] of refs.entries()) {
        const expected = `${Array.from({ length: 10 }, (_, round) => `${number}.${round} `).join('')}end`;
        expect(await decrypted(home, ref)).toBe(expected);
        const [pieces, rest] = [ref?.parts?.slice(0, -1) ?? [], ref?.parts?.at(-1)];
        expect(new Set([ref?.segment, ...pieces.map(({ segment }) => segment)]).size).toBe(1);
        expect(rest?.segment).toBe(small[0]?.segment);
        expect(rest?.segment).not.toBe(ref?.segment);
      }
      await log.close();
      expect(await readdir(auditLayout(home).keys)).toHaveLength(2);
      expect(await verifyAudit(home)).toMatchObject({ ok: true, contents: { kept: 30 } });
    }));

  test('goes on in another segment after midnight and when one is full; each retention has its own', () =>
    withHome(async (home, open) => {
      let now = Date.parse('2026-11-24T23:59:00Z');
      const log = await open({ now: () => now });
      const draft = log.openContent(7);
      const other = log.openContent(8);
      await draft.write([Buffer.from('before ')]);
      await other.write([Buffer.from('other')]);
      now += 120_000;
      await draft.write([Buffer.from('after ')]);
      const ref = await log.append(intentOf('d1'), { chunks: [], retentionDays: 7, draft });
      const second = await log.append(intentOf('d2'), { chunks: [], retentionDays: 8, draft: other });
      expect(segmentsOf(ref as Content)).toEqual(['2026-11-24-r7-1', '2026-11-25-r7-3']);
      expect(segmentsOf(second as Content)).toEqual(['2026-11-24-r8-2']);
      expect(await decrypted(home, ref)).toBe('before after ');
      expect(await verifyAudit(home, { now })).toMatchObject({ ok: true, contents: { kept: 2 } });

      const large = log.openContent(9);
      const mebibytes = Array.from({ length: 66 }, (_, number) => Buffer.alloc(1024 * 1024, number));
      for (const mebibyte of mebibytes) await large.write([mebibyte]);
      const full = await log.append(intentOf('d3'), { chunks: [], retentionDays: 9, draft: large });
      expect(new Set(segmentsOf(full as Content)).size).toBe(2);
      const reader = new ContentReader(auditLayout(home));
      expect((await reader.decrypt(full as Content))?.equals(Buffer.concat(mebibytes))).toBe(true);
      await reader.close();
    }));

  test('that no record wants leaves nothing in the log, now and after a restart', () =>
    withHome(async (home, open) => {
      const log = await open();
      const { draft } = await draftedOf(log, ['unwanted'], null);
      draft?.discard();
      await expect(draft?.write([Buffer.from('more')])).rejects.toMatchObject({ code: 'audit_unavailable' });
      await draftedOf(log, ['forgotten'], null);
      const kept = await appendDrafted(log, 'd1', ['kept'], ' to the end');
      await log.close();
      const again = await open();
      const more = await appendDrafted(again, 'd2', ['more'], null);
      // No run goes on with the segment of another.
      expect(segmentsOf(kept)).not.toContain(more.segment);
      expect(await decrypted(home, kept)).toBe('kept to the end');
      expect(await verifyAudit(home)).toMatchObject({ ok: true, problems: [], contents: { kept: 2 } });
    }));
});

describe('what became of a content in pieces', () => {
  test('an erasure takes every piece, and verify counts it once', () =>
    withHome(async (home, open) => {
      const log = await open();
      const gone = await appendDrafted(log, 'gone', ['private ', 'answer ', 'of three'], ' pieces');
      const other = await appendDrafted(log, 'other', ['kept ', 'answer'], null);
      await log.close();
      const [record] = (await entriesOf(home)).flatMap(({ record }) =>
        record.kind === 'outcome' && record.id === 'gone' ? [record] : [],
      );
      const frames = record ? erasable(record) : [];
      expect(frames).toHaveLength(4);
      await eraseContents(auditLayout(home), localDisk, frames, 'asked for', Date.now());
      expect(await verifyAudit(home)).toMatchObject({ ok: true, erased: ['gone'], contents: { kept: 1, erased: 1 } });
      await (await open()).close();
      expect(await verifyAudit(home)).toMatchObject({ ok: true, erased: ['gone'], contents: { kept: 1, erased: 1 } });
      expect(await decrypted(home, gone)).toBeUndefined();
      expect(await decrypted(home, other)).toBe('kept answer');
      const { content } = auditLayout(home);
      for (const { segment, offset, bytes } of framesOf(gone)) {
        const segmentBytes = await readFile(join(content, `${segment}.seg`));
        expect(segmentBytes.subarray(offset, offset + bytes).every((byte) => byte === 0)).toBe(true);
      }
    }));

  test('it expires with its first piece: then it cannot be read, and what is left is still checked', () =>
    withHome(async (home, open) => {
      let now = Date.parse('2026-11-24T23:59:00Z');
      const log = await open({ now: () => now });
      const draft = log.openContent(2);
      await draft.write([Buffer.from('before midnight')]);
      now += 120_000;
      await draft.write([Buffer.from('after midnight')]);
      const ref = await log.append(intentOf('d1'), { chunks: [], retentionDays: 2, draft });
      await log.close();
      const [first, second] = segmentsOf(ref as Content) as [string, string];
      now = Date.parse('2026-11-24T00:00:00Z') + 3 * DAY_MS;
      await (await open({ now: () => now })).close();
      expect(await readdir(auditLayout(home).keys)).toEqual([`${second}.key`]);
      expect(await decrypted(home, ref)).toBeUndefined();
      expect(await verifyAudit(home, { now })).toMatchObject({ ok: true, contents: { expired: 1 }, expired: [first] });
      const path = join(auditLayout(home).content, `${second}.seg`);
      const bytes = await readFile(path);
      bytes[20]! ^= 1;
      await writeFile(path, bytes);
      expect(await verifyAudit(home, { now })).toMatchObject({ ok: false, bad: { id: 'd1' } });
    }));

  test('a rest that a power loss took is said to be lost, and the pieces are not blamed on anybody', () =>
    withHome(async (home, open) => {
      const log = await open();
      const ref = await appendDrafted(log, 'd1', ['one', 'two'], 'rest');
      const { chain, content, checkpoints } = auditLayout(home);
      const crashed = await readFile(join(chain, '0000000001.log'));
      await log.close();
      await writeFile(join(chain, '0000000001.log'), crashed);
      await writeFile(checkpoints, '');
      const rest = ref.parts?.at(-1);
      await writeFile(join(content, `${rest?.segment}.seg`), '');
      await (await open()).close();
      const [opened] = (await entriesOf(home))
        .flatMap(({ record }) => (record.kind === 'event' && record.event === 'log_opened' ? [record.detail] : []))
        .slice(-1);
      expect(opened).toMatchObject({ content_lost: [{ id: 'd1', segment: rest?.segment, offset: rest?.offset }] });
      expect(await verifyAudit(home)).toMatchObject({ ok: true, contents: { lost: 1, kept: 0 } });
    }));
});

describe('a disk that refuses pieces or lags', () => {
  test('a piece is nothing to wait for until the disk lags, and nothing is synced for it', () =>
    withHome(async (_home, open) => {
      const { state, disk } = contentDisk();
      const log = await open({ disk });
      const draft = log.openContent(30);
      for (let piece = 0; piece < 8; piece++) await draft.write([Buffer.alloc(256 * 1024)]);
      expect(state.syncs).toBe(0);
      for (let piece = 0; piece < 24; piece++) await draft.write([Buffer.alloc(256 * 1024)]);
      // Bounded all the same, so that the end has little to wait for.
      expect(state.syncs).toBe(2);
    }));

  test('a lagging disk holds up whoever writes pieces, and no record of others', () =>
    withHome(async (home, open) => {
      const { state, disk } = contentDisk();
      const log = await open({ disk });
      const { promise, resolve } = Promise.withResolvers<void>();
      state.gate = promise;
      const draft = log.openContent(30);
      const order: string[] = [];
      const written = draft.write([Buffer.from('late ')]).then(() => order.push('piece'));
      const appended = log.append(intentOf('d1'), { chunks: [], retentionDays: 30, draft }).then((ref) => {
        order.push('record');
        return ref;
      });
      await log.append(intentOf('d2'));
      order.push('other');
      expect(await idsOf(home, 'intent')).toEqual(['d2']);
      resolve();
      const [ref] = await Promise.all([appended, written]);
      expect(order).toEqual(['other', 'piece', 'record']);
      expect(await decrypted(home, ref)).toBe('late ');
    }));

  test('a refused piece breaks its draft and no other, and the log stays in order', () =>
    withHome(async (home, open) => {
      const { state, disk } = contentDisk();
      const log = await open({ disk });
      const settled = await appendDrafted(log, 'd1', ['one', 'two'], null);
      const [unsettled, refused] = [log.openContent(30), log.openContent(30)];
      await unsettled.write([Buffer.from('not durable yet')]);
      state.error = 'ENOSPC';
      await expect(refused.write([Buffer.from('refused')])).rejects.toMatchObject({
        code: 'audit_unavailable',
        message: 'the audit disk is full',
      });
      state.error = undefined;
      for (const draft of [unsettled, refused]) {
        const content = { chunks: [], retentionDays: 30, draft };
        await expect(log.append(outcomeOf('x'), content)).rejects.toMatchObject({ code: 'audit_unavailable' });
      }
      expect(log.healthy).toBe(true);
      const after = await appendDrafted(log, 'd2', ['after', 'wards'], null);
      expect(segmentsOf(after)).not.toContain(settled.segment);
      await log.close();
      expect(await decrypted(home, settled)).toBe('onetwo');
      expect(await decrypted(home, after)).toBe('afterwards');
      expect(await idsOf(home, 'outcome')).toEqual(['d1', 'd2']);
      expect(await verifyAudit(home)).toMatchObject({ ok: true, contents: { kept: 2 } });
    }));

  test('a draft outlives a chain that refused records for a while', () =>
    withHome(async (home, open) => {
      let error: string | undefined;
      const disk: AuditDisk = {
        ...localDisk,
        async openAppend(path, fresh) {
          const file = await localDisk.openAppend(path, fresh);
          const append: AppendFile['append'] = async (chunks) => {
            if (error && path.endsWith('.log')) throw Object.assign(new Error('write failed'), { code: error });
            await file.append(chunks);
          };
          return { ...file, append };
        },
      };
      const log = await open({ disk });
      const draft = log.openContent(30);
      await draft.write([Buffer.from('before, ')]);
      error = 'ENOSPC';
      await expect(log.append(intentOf('d1'), contentOf('x'))).rejects.toMatchObject({ code: 'audit_unavailable' });
      await draft.write([Buffer.from('meanwhile ')]);
      error = undefined;
      const ref = await log.append(intentOf('d2'), { chunks: [Buffer.from('and after')], retentionDays: 30, draft });
      expect(await decrypted(home, ref)).toBe('before, meanwhile and after');
      expect(await verifyAudit(home)).toMatchObject({ ok: true, contents: { kept: 1 } });
    }));

  test('a disk that hangs refuses after a while, and the log can still be closed when it is back', () =>
    withHome(async (_home, open) => {
      const { state, disk } = contentDisk();
      const log = await open({ disk, timeoutMs: 20 });
      const { promise, resolve } = Promise.withResolvers<void>();
      state.gate = promise;
      const draft = log.openContent(30);
      await expect(draft.write([Buffer.from('x')])).rejects.toMatchObject({
        code: 'audit_unavailable',
        message: expect.stringMatching(/did not answer/),
      });
      await expect(log.append(intentOf('d1'), { chunks: [], retentionDays: 30, draft })).rejects.toMatchObject({
        code: 'audit_unavailable',
      });
      expect(log.healthy).toBe(true);
      resolve();
      await log.close();
    }));

  test('a stop waits for the record of a draft that was appended, and refuses pieces afterwards', () =>
    withHome(async (home, open) => {
      const log = await open();
      const content = await draftedOf(log, ['to ', 'the '], 'end');
      const late = log.openContent(30);
      const appended = log.append(intentOf('d1'), content);
      await log.close();
      expect(await decrypted(home, await appended)).toBe('to the end');
      await expect(late.write([Buffer.from('x')])).rejects.toMatchObject({ code: 'audit_unavailable' });
      expect(await verifyAudit(home)).toMatchObject({ ok: true, contents: { kept: 1 } });
    }));
});

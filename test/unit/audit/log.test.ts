import { appendFile, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { type AuditDisk, localDisk } from '../../../gateway/audit/disk.ts';
import { auditLayout, segmentPath } from '../../../gateway/audit/layout.ts';
import { readAudit } from '../../../gateway/audit/read.ts';
import { verifyAudit } from '../../../gateway/audit/verify.ts';
import type { AuditRecord } from '../../../gateway/types.gen.ts';
import { contentOf, entriesOf, idsOf, intentOf, outcomeOf, withHome } from '../../support/audit.ts';

/** A disk whose chain writes can be made to fail or hang. */
const unreliableDisk = () => {
  const state = {
    error: undefined as { code: string; afterBytes: number } | undefined,
    gate: Promise.resolve(),
    syncs: 0,
  };
  const disk: AuditDisk = {
    ...localDisk,
    async openAppend(path, fresh) {
      const file = await localDisk.openAppend(path, fresh);
      if (!path.endsWith('.log')) return file;
      return {
        ...file,
        async append(chunks) {
          await state.gate;
          if (!state.error) return file.append(chunks);
          await file.append([Buffer.concat(chunks).subarray(0, state.error.afterBytes)]);
          throw Object.assign(new Error('write failed'), { code: state.error.code });
        },
        async sync() {
          state.syncs += 1;
          await file.sync();
        },
      };
    },
  };
  return { state, disk };
};

const lastSegment = async (home: string): Promise<string> => {
  const names = (await readdir(auditLayout(home).chain)).sort();
  return segmentPath(auditLayout(home), Number(names.at(-1)?.slice(0, 10)));
};

describe('the audit log', () => {
  test('records come back in the order of their appends, and many share one sync', () =>
    withHome(async (home, open) => {
      const { state, disk } = unreliableDisk();
      const log = await open({ disk });
      const before = state.syncs;
      const ids = Array.from({ length: 300 }, (_, index) => `d${index}`);
      await Promise.all(ids.map((id) => log.append(intentOf(id))));
      expect(state.syncs - before).toBeLessThanOrEqual(3);
      expect(await idsOf(home, 'intent')).toEqual(ids);
    }));

  test('the record names where its content lies and is otherwise as it was given', () =>
    withHome(async (home, open) => {
      const log = await open();
      const intent = intentOf('d1');
      const ref = await log.append(intent, contentOf('a question', 7));
      expect(ref?.segment).toMatch(/^\d{4}-\d\d-\d\d-r7-1$/);
      const records = (await entriesOf(home)).map(({ record }) => record);
      expect(records).toContainEqual({ ...intent, content: ref });
      expect(intent.content).toBeNull();
    }));

  test('text outside ASCII and a record larger than the buffer survive', () =>
    withHome(async (home, open) => {
      const log = await open();
      const large = { ...intentOf('large'), input: { text: 'ü€😀'.repeat(300_000) } };
      await Promise.all([log.append(intentOf('dé')), log.append(large), log.append(intentOf('after'))]);
      const records = (await entriesOf(home)).map(({ record }) => record);
      expect(records).toContainEqual(large);
      expect(await idsOf(home, 'intent')).toEqual(['dé', 'large', 'after']);
    }));

  test('intents without an outcome are handed to the next run, across segments, and no others', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 2000 });
      await log.append(intentOf('old'));
      for (let index = 0; index < 30; index++) {
        await log.append(intentOf(`d${index}`));
        await log.append(outcomeOf(`d${index}`));
      }
      await log.append(intentOf('new'));
      await log.close();
      expect((await readdir(auditLayout(home).chain)).length).toBeGreaterThan(5);
      const again = await open();
      expect(again.openIntents).toEqual([intentOf('old'), intentOf('new')]);
      await again.append(outcomeOf('old', { outcome: 'unknown' }));
      await again.close();
      expect((await open()).openIntents.map(({ id }) => id)).toEqual(['new']);
    }));

  test('a second writer is refused while the first is open, and welcome after it', () =>
    withHome(async (_home, open) => {
      const log = await open();
      await expect(open()).rejects.toMatchObject({ code: 'audit_locked' });
      await log.close();
      await open();
    }));

  test.each([1, 39, 41, 150])('a tail torn %i bytes into a record is cut, and no whole record is lost', (kept) =>
    withHome(async (home, open) => {
      const log = await open();
      await log.append(intentOf('d1'));
      await log.close();
      const path = await lastSegment(home);
      const whole = await readFile(path);
      const [{ position } = { position: { offset: 0 } }] = (await entriesOf(home)).slice(1);
      await appendFile(path, whole.subarray(position.offset, position.offset + kept));
      const torn = await verifyAudit(home);
      expect(torn).toMatchObject({ ok: true, torn: { bytes: kept } });
      const again = await open();
      expect(again.openIntents.map(({ id }) => id)).toEqual(['d1']);
      await again.append(outcomeOf('d1'));
      expect(await verifyAudit(home)).toMatchObject({ ok: true, torn: null, openIntents: [] });
    }),
  );

  test('sectors of zeros behind the last record, as a power loss leaves them, are cut', () =>
    withHome(async (home, open) => {
      const log = await open();
      await log.append(intentOf('d1'));
      await log.close();
      const path = await lastSegment(home);
      const frames = await entriesOf(home);
      const second = frames[1]?.position.offset ?? 0;
      const begun = (await readFile(path)).subarray(second, second + 60);
      await appendFile(path, Buffer.concat([begun, Buffer.alloc(4096)]));
      expect(await verifyAudit(home)).toMatchObject({ ok: true, torn: { bytes: 4156 } });
      const again = await open();
      await again.append(outcomeOf('d1'));
      expect(await verifyAudit(home)).toMatchObject({ ok: true, torn: null });
    }));

  test('a crash in the first write of a new segment falls back to the one before', () =>
    withHome(async (home, open) => {
      const log = await open();
      await log.append(intentOf('d1'));
      await log.close();
      await writeFile(segmentPath(auditLayout(home), 2), (await readFile(await lastSegment(home))).subarray(0, 100));
      expect(await verifyAudit(home)).toMatchObject({ ok: true, torn: { segment: 2 } });
      const again = await open();
      expect(again.openIntents).toHaveLength(1);
      await again.close();
      expect(await verifyAudit(home)).toMatchObject({ ok: true, segments: 1 });
    }));

  test('a log whose last segment was changed, or whose tail is shorter than its checkpoint says, is not opened', () =>
    withHome(async (home, open) => {
      const log = await open();
      await log.append(intentOf('d1'));
      await log.close();
      const path = await lastSegment(home);
      const bytes = await readFile(path);
      const changed = Buffer.from(bytes);
      changed[bytes.length - 20] = (changed[bytes.length - 20] ?? 0) ^ 1;
      await writeFile(path, changed);
      await expect(open()).rejects.toThrow(/record 3 \(segment 1, offset \d+\): the chain hash is wrong/);
      await writeFile(path, bytes);
      const frames = await entriesOf(home);
      await truncate(path, frames.at(-1)?.position.offset ?? 0);
      await expect(open()).rejects.toThrow(/the tail is cut, the last checkpoint tells of 4 records/);
    }));
});

describe('a disk that fails', () => {
  test('a full disk refuses at once, leaves no trace, and the log goes on when there is room again', () =>
    withHome(async (home, open) => {
      const { state, disk } = unreliableDisk();
      const log = await open({ disk });
      await log.append(intentOf('d1'));
      state.error = { code: 'ENOSPC', afterBytes: 77 };
      const refused = await Promise.allSettled([log.append(intentOf('d2')), log.append(outcomeOf('d1'))]);
      for (const result of refused) {
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'audit_unavailable', status: 503 } });
      }
      expect(log.healthy).toBe(false);
      state.error = undefined;
      await log.append(intentOf('d3'), contentOf('kept'));
      expect(log.healthy).toBe(true);
      await log.close();
      expect(await idsOf(home, 'intent')).toEqual(['d1', 'd3']);
      expect(await verifyAudit(home)).toMatchObject({
        ok: true,
        torn: null,
        openIntents: ['d1', 'd3'],
        contents: { kept: 1 },
      });
      expect((await open()).openIntents.map(({ id }) => id)).toEqual(['d1', 'd3']);
    }));

  test('whole frames of a failed write do not stay either, so what was refused is not in the log', () =>
    withHome(async (home, open) => {
      const { state, disk } = unreliableDisk();
      const log = await open({ disk });
      await log.append(intentOf('d1'));
      const size = (await stat(await lastSegment(home))).size;
      state.error = { code: 'EIO', afterBytes: 100_000 };
      await expect(log.append(intentOf('d2'))).rejects.toMatchObject({ code: 'audit_unavailable' });
      await sleep(20);
      expect((await stat(await lastSegment(home))).size).toBe(size);
    }));

  test('the log finds out by itself that the disk is back', () =>
    withHome(async (home, open) => {
      const { state, disk } = unreliableDisk();
      const log = await open({ disk });
      state.error = { code: 'ENOSPC', afterBytes: 0 };
      await expect(log.append(intentOf('d1'))).rejects.toMatchObject({ code: 'audit_unavailable' });
      state.error = undefined;
      while (!log.healthy) await sleep(20);
      const events = (await entriesOf(home)).map(({ record }) =>
        record.kind === 'event' ? record.event : record.kind,
      );
      expect(events).toContain('log_resumed');
    }));

  test('a failed write that began a segment begins it again', () =>
    withHome(async (home, open) => {
      const { state, disk } = unreliableDisk();
      const log = await open({ disk, segmentBytes: 600 });
      await log.append(intentOf('d1'));
      await log.append(outcomeOf('d1'));
      state.error = { code: 'ENOSPC', afterBytes: 10 };
      await expect(log.append(intentOf('d2'))).rejects.toMatchObject({ code: 'audit_unavailable' });
      state.error = undefined;
      await log.append(intentOf('d3'));
      await log.append(outcomeOf('d3'));
      expect(await verifyAudit(home)).toMatchObject({ ok: true, torn: null, openIntents: [] });
      expect(await idsOf(home, 'outcome')).toEqual(['d1', 'd3']);
    }));

  test('a disk that hangs refuses after the time allowed and everything behind at once; then the log goes on', () =>
    withHome(async (home, open) => {
      const { state, disk } = unreliableDisk();
      const log = await open({ disk, timeoutMs: 100 });
      const { promise, resolve } = Promise.withResolvers<void>();
      state.gate = promise;
      await expect(log.append(intentOf('d1'))).rejects.toMatchObject({ code: 'audit_unavailable' });
      const before = performance.now();
      await expect(log.append(intentOf('d2'))).rejects.toMatchObject({ code: 'audit_unavailable' });
      expect(performance.now() - before).toBeLessThan(90);
      expect(log.healthy).toBe(false);
      resolve();
      while (!log.healthy) await sleep(5);
      await log.append(intentOf('d3'));
      await log.close();
      // The hanging write came through in the end: its caller was refused, so the next run closes it as unknown.
      expect((await open()).openIntents.map(({ id }) => id)).toEqual(['d1', 'd3']);
      expect(await verifyAudit(home)).toMatchObject({ ok: true });
    }));

  test('a process that had no time while the disk wrote does not blame the disk', () =>
    withHome(async (_home, open) => {
      const log = await open({ timeoutMs: 50 });
      await log.append(intentOf('d0'));
      for (let times = 0; times < 5; times++) {
        const appended = log.append(intentOf(`d${times + 1}`));
        await new Promise((resolve) => setImmediate(resolve)); // The write is under way.
        const end = performance.now() + 80;
        while (performance.now() < end);
        await appended;
      }
      expect(log.healthy).toBe(true);
    }));

  test('a record that cannot be encoded is refused alone', () =>
    withHome(async (home, open) => {
      const log = await open();
      const circular: Record<string, unknown> = {};
      circular.self = circular;
      const results = await Promise.allSettled([
        log.append(intentOf('d1')),
        log.append({ ...intentOf('d2'), input: circular }),
        log.append(intentOf('d3')),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(await idsOf(home, 'intent')).toEqual(['d1', 'd3']);
    }));
});

describe('reading', () => {
  test('reading on from a position gives exactly what came after, in a live log and across segments', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 3000 });
      const seen: string[] = [];
      let from: Awaited<ReturnType<typeof entriesOf>>[number]['next'] | undefined;
      const expected: string[] = [];
      for (let round = 0; round < 20; round++) {
        for (let index = 0; index < 3; index++) {
          expected.push(`d${round}-${index}`);
          await log.append(intentOf(`d${round}-${index}`));
        }
        for await (const entry of readAudit(home, { from: from && JSON.parse(JSON.stringify(from)) })) {
          if (entry.record.kind === 'intent') seen.push(entry.record.id);
          from = entry.next;
        }
        expect(seen).toEqual(expected);
      }
    }));

  test('a reader of some kinds gets just those, wherever a record says its kind, and damage in the others stops it', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 2500 });
      for (let index = 0; index < 12; index++) {
        const { kind, ...fields } = index % 3 === 0 ? outcomeOf(`d${index}`) : intentOf(`d${index}`);
        await log.append({ ...(index % 2 === 0 ? { kind, ...fields } : { ...fields, kind }) } as AuditRecord);
      }
      await log.close();
      const all = await entriesOf(home);
      for (const kinds of [['outcome'], ['event', 'intent'], []] as const) {
        const chosen = all.filter(({ record }) => (kinds as readonly string[]).includes(record.kind));
        expect(await Array.fromAsync(readAudit(home, { kinds }))).toEqual(chosen);
      }
      const intent = all.findLast(({ record }) => record.kind === 'intent')!.position;
      const path = segmentPath(auditLayout(home), intent.segment);
      const bytes = await readFile(path);
      bytes[intent.offset + 60]! ^= 1;
      await writeFile(path, bytes);
      await expect(Array.fromAsync(readAudit(home, { kinds: ['outcome'] }))).rejects.toThrow('chain hash');
    }));

  test('segment and offset alone are enough to start', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 1500 });
      for (let index = 0; index < 20; index++) await log.append(intentOf(`d${index}`));
      const all = await entriesOf(home);
      for (const index of [0, 3, 10, all.length - 1]) {
        const { segment, offset } = all[index]?.position ?? { segment: 0, offset: 0 };
        expect(await Array.fromAsync(readAudit(home, { from: { segment, offset } }))).toEqual(all.slice(index));
      }
    }));

  test('a position of another log, or of bytes that were taken back, is stale and not taken for damage', () =>
    withHome(async (home, open) => {
      const log = await open();
      await log.append(intentOf('d1'));
      const end = (await entriesOf(home)).at(-1)?.next ?? { segment: 0, offset: 0, index: 0, chain: '' };
      await log.append(intentOf('d2'));
      const read = (from: typeof end) => Array.fromAsync(readAudit(home, { from }));
      await expect(read({ ...end, chain: '00'.repeat(32) })).rejects.toMatchObject({ name: 'StalePositionError' });
      await expect(read({ ...end, offset: end.offset + 100_000 })).rejects.toMatchObject({
        name: 'StalePositionError',
      });
      await expect(read({ ...end, segment: 7 })).rejects.toMatchObject({ name: 'StalePositionError' });
      await expect(read(end)).resolves.toHaveLength(1);
    }));

  test('readers keep up with a writer that rotates all the time and never see damage', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 4000 });
      let isDone = false;
      const write = async () => {
        for (let index = 0; index < 400; index++) await log.append(intentOf(`d${index}`));
        isDone = true;
      };
      const follow = async () => {
        let count = 0;
        let from: Awaited<ReturnType<typeof entriesOf>>[number]['next'] | undefined;
        for (;;) {
          const last = isDone;
          for await (const { record, next } of readAudit(home, { from })) {
            if (record.kind === 'intent') count += 1;
            from = next;
          }
          if (last) return count;
        }
      };
      const [, ...counts] = await Promise.all([write(), follow(), follow()]);
      expect(counts).toEqual([400, 400]);
    }));
});

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SALT_BYTES } from '../../../gateway/audit/content-store.ts';
import { localDisk } from '../../../gateway/audit/disk.ts';
import { eraseContents } from '../../../gateway/audit/erase.ts';
import { GENESIS, readFrame } from '../../../gateway/audit/frame.ts';
import { auditLayout } from '../../../gateway/audit/layout.ts';
import { openAuditLog } from '../../../gateway/audit/log.ts';
import { readAudit } from '../../../gateway/audit/read.ts';
import { verifyAudit } from '../../../gateway/audit/verify.ts';
import { contentOf, draftedOf, intentOf, outcomeOf } from '../../support/audit.ts';

interface Placed {
  readonly index: number;
  readonly segment: number;
  readonly offset: number;
  readonly end: number;
  readonly id: string | null;
}

const FRAME_FLIPS = 10_000;
const FLIPS = 400;
const CUTS = 100;
let home: string;
let pristine: Map<number, Buffer>;
let checkpoints: string;
let placed: Placed[];

/** A small generator of numbers (mulberry32): a failure repeats. */
const generator = (seed: number) => (below: number) => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
};

const segmentFile = (segment: number): string =>
  join(auditLayout(home).chain, `${String(segment).padStart(10, '0')}.log`);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aegis-tamper-'));
  const log = await openAuditLog({ home, segmentBytes: 4000 });
  for (let index = 0; index < 12; index++) {
    await log.append(intentOf(`dec_${index}`), index < 2 ? contentOf(`prompt ${index}`) : undefined);
    await log.append(outcomeOf(`dec_${index}`), index < 2 ? contentOf(`answer ${index}`) : undefined);
  }
  await log.close();
  checkpoints = await readFile(auditLayout(home).checkpoints, 'utf8');
  const names = (await readdir(auditLayout(home).chain)).sort();
  pristine = new Map();
  for (const name of names)
    pristine.set(Number(name.slice(0, 10)), await readFile(join(auditLayout(home).chain, name)));
  placed = (await Array.fromAsync(readAudit(home))).map(({ position, next, record }) => ({
    ...position,
    end: next.offset,
    id: record.kind === 'intent' || record.kind === 'outcome' ? record.id : null,
  }));
  expect(pristine.size).toBeGreaterThanOrEqual(3);
  expect(await verifyAudit(home)).toMatchObject({ ok: true, openIntents: [], contents: { kept: 4 } });
});

afterAll(() => rm(home, { recursive: true, force: true }));

/** Verifies the log with one segment changed; puts it back. */
const verifyChanged = async (segment: number, bytes: Buffer) => {
  await writeFile(segmentFile(segment), bytes);
  try {
    return await verifyAudit(home, { checkpoints });
  } finally {
    await writeFile(segmentFile(segment), pristine.get(segment) as Buffer);
  }
};

const at = (index: number): Placed => placed[index] as Placed;
const frameOf = ({ segment, offset, end }: Placed): Buffer => (pristine.get(segment) as Buffer).subarray(offset, end);

/** The segment's bytes with the frames from `first` to `last` replaced. */
const replaced = (first: Placed, last: Placed, frames: readonly Buffer[]): Buffer => {
  const bytes = pristine.get(first.segment) as Buffer;
  return Buffer.concat([bytes.subarray(0, first.offset), ...frames, bytes.subarray(last.end)]);
};

const neighbours = (): number[] =>
  placed.slice(0, -1).flatMap((place, index) => (at(index + 1).segment === place.segment ? [index] : []));

/** The number of the first record whose frame is bad, in memory; undefined when all are good. */
const firstBad = (segments: ReadonlyMap<number, Buffer>): number | undefined => {
  let chain: Buffer = GENESIS;
  let index = 0;
  for (const bytes of segments.values()) {
    for (let at = 0; at < bytes.length; index++) {
      const frame = readFrame(bytes, at, bytes.length, chain);
      if (!('payload' in frame)) return index;
      ({ chain, end: at } = frame);
    }
  }
  return undefined;
};

describe('tampering with the chain', () => {
  test(`each of ${FRAME_FLIPS} flips at random bytes makes the frame bad that it hit, and none before`, () => {
    const random = generator(1);
    expect(firstBad(new Map([...pristine].map(([segment, bytes]) => [segment, Buffer.from(bytes)])))).toBeUndefined();
    for (let round = 0; round < FRAME_FLIPS; round++) {
      const place = at(random(placed.length));
      const segments = new Map([...pristine].map(([segment, bytes]) => [segment, Buffer.from(bytes)]));
      const bytes = segments.get(place.segment) as Buffer;
      const target = place.offset + random(place.end - place.offset);
      bytes[target] = (bytes[target] as number) ^ (1 << random(8));
      if (firstBad(segments) !== place.index)
        throw new Error(`the flip of byte ${target} of segment ${place.segment} was not found`);
    }
  }, 60_000);

  test(`verify finds each of ${FLIPS} flips at random bytes and names the record that was changed`, async () => {
    const random = generator(20261124);
    for (let round = 0; round < FLIPS; round++) {
      const place = at(random(placed.length));
      const bytes = Buffer.from(pristine.get(place.segment) as Buffer);
      const target = place.offset + random(place.end - place.offset);
      bytes[target] = (bytes[target] as number) ^ (1 << random(8));
      const report = await verifyChanged(place.segment, bytes);
      const { index, segment, offset } = place;
      expect({ round, target, ok: report.ok, bad: report.bad }).toMatchObject({
        round,
        target,
        ok: false,
        bad: { index, segment, offset },
      });
    }
  }, 120_000);

  test('a payload that was changed still shows its decision id', async () => {
    const place = placed.find(({ id }) => id === 'dec_5') as Placed;
    const bytes = Buffer.from(pristine.get(place.segment) as Buffer);
    bytes[place.end - 3] = 0x20;
    expect((await verifyChanged(place.segment, bytes)).bad).toMatchObject({
      id: 'dec_5',
      reason: 'the chain hash is wrong',
    });
  });

  test('each record that is dropped, doubled or swapped is found at its place', async () => {
    for (const index of neighbours()) {
      const [here, next] = [at(index), at(index + 1)];
      const dropped = await verifyChanged(here.segment, replaced(here, here, []));
      expect(dropped).toMatchObject({ ok: false, bad: { index } });
      const doubled = await verifyChanged(here.segment, replaced(here, here, [frameOf(here), frameOf(here)]));
      expect(doubled).toMatchObject({ ok: false, bad: { index: index + 1 } });
      const swapped = await verifyChanged(here.segment, replaced(here, next, [frameOf(next), frameOf(here)]));
      expect(swapped).toMatchObject({ ok: false, bad: { index } });
    }
  }, 60_000);

  test('a tail cut anywhere is found against checkpoints kept elsewhere, also when those beside the log are cut too', async () => {
    const own = auditLayout(home).checkpoints;
    const random = generator(7);
    const last = [...pristine.keys()].at(-1) as number;
    const bytes = pristine.get(last) as Buffer;
    await writeFile(own, '');
    try {
      for (let round = 0; round < CUTS; round++) {
        const report = await verifyChanged(last, bytes.subarray(0, random(bytes.length)));
        expect(report.ok).toBe(false);
        expect(report.bad?.reason).toMatch(/the tail is cut: the checkpoint given of .* tells of \d+ records/);
      }
      const uncut = await verifyAudit(home, { checkpoints });
      expect(uncut).toMatchObject({ ok: true });
    } finally {
      await writeFile(own, checkpoints);
    }
  }, 60_000);

  test('without a checkpoint kept elsewhere the one beside the log finds the cut', async () => {
    const last = placed.at(-1) as Placed;
    await writeFile(segmentFile(last.segment), (pristine.get(last.segment) as Buffer).subarray(0, last.offset));
    const report = await verifyAudit(home);
    await writeFile(segmentFile(last.segment), pristine.get(last.segment) as Buffer);
    expect(report).toMatchObject({ ok: false, bad: { index: last.index } });
  });

  test('a missing segment is found, wherever it is', async () => {
    for (const [segment, bytes] of pristine) {
      await rm(segmentFile(segment));
      const report = await verifyAudit(home);
      await writeFile(segmentFile(segment), bytes);
      expect(report).toMatchObject({ ok: false });
      expect(report.bad?.index).toBe(placed.find((place) => place.segment === segment)?.index);
    }
  });

  test('another log, whole in itself, in the place of this one is found by the checkpoint kept elsewhere', async () => {
    const other = await mkdtemp(join(tmpdir(), 'aegis-tamper-'));
    try {
      const log = await openAuditLog({ home: other, segmentBytes: 4000 });
      for (let index = 0; index < 12; index++) {
        await log.append(intentOf(`dec_${index}`));
        await log.append(outcomeOf(`dec_${index}`));
      }
      for (let index = 0; index < 20; index++)
        await log.append({ kind: 'suppressed', time: '2026-11-24T10:00:00Z', count: 1 });
      await log.close();
      expect(await verifyAudit(other)).toMatchObject({ ok: true });
      const key = (await readFile(auditLayout(home).checkpointPublicKey, 'utf8')).trim();
      const report = await verifyAudit(other, { checkpoints, verifierKey: key });
      expect(report.ok).toBe(false);
      expect(report.bad?.reason).toMatch(/has another chain hash/);
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });

  test('a checkpoint that was changed, or signed by another key, is found', async () => {
    const forged = checkpoints.replace(/T\d\d:/, 'T99:');
    expect(await verifyAudit(home, { checkpoints: forged })).toMatchObject({ ok: false });
    const other = 'aegis-audit-0123456789abcdef+a1b2c3d4+ARWjxyxhO1AZxFFPj+P/e8p5zEBk3Thc5TOZ7fTDxET9';
    await expect(verifyAudit(home, { checkpoints, verifierKey: other })).rejects.toThrow(/hash in the verifier key/);
    await expect(verifyAudit(home, { checkpoints: 'nothing' })).rejects.toThrow(/no checkpoint/);
  });
});

describe('tampering with contents', () => {
  test('a changed, zeroed, cut or removed content names its record, and so does a removed key', async () => {
    const { content, keys } = auditLayout(home);
    const copy = await mkdtemp(join(tmpdir(), 'aegis-tamper-'));
    await cp(auditLayout(home).root, join(copy, 'audit'), { recursive: true });
    const [name] = await readdir(content);
    const [key] = await readdir(keys);
    const file = join(copy, 'audit', 'content', name as string);
    const bytes = await readFile(file);
    const second = placed.filter(({ id }) => id === 'dec_0')[1] as Placed;
    const frame = 'prompt 0'.length + SALT_BYTES;
    const changes: [string, () => Promise<void>][] = [
      [
        'changed',
        () =>
          writeFile(
            file,
            Buffer.concat([bytes.subarray(0, frame + 5), Buffer.from([1, 2, 3]), bytes.subarray(frame + 8)]),
          ),
      ],
      [
        'overwritten',
        () =>
          writeFile(file, Buffer.concat([bytes.subarray(0, frame), Buffer.alloc(frame), bytes.subarray(2 * frame)])),
      ],
      ['missing', () => writeFile(file, bytes.subarray(0, frame))],
    ];
    try {
      for (const [word, change] of changes) {
        await change();
        const report = await verifyAudit(copy);
        expect(report.bad).toMatchObject({ id: 'dec_0', index: second.index, reason: expect.stringContaining(word) });
        await writeFile(file, bytes);
      }
      expect(await verifyAudit(copy)).toMatchObject({ ok: true });
      await rm(join(copy, 'audit', 'keys', key as string));
      expect((await verifyAudit(copy)).bad).toMatchObject({ id: 'dec_0', reason: expect.stringContaining('key') });
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  });
});

describe('tampering with a content in pieces', () => {
  const PIECES = ['first piece', 'second one', 'a third'];

  test('each piece that is changed, zeroed, swapped with its neighbour or cut off names the record, and so does a missing key', async () => {
    const other = await mkdtemp(join(tmpdir(), 'aegis-tamper-'));
    try {
      const log = await openAuditLog({ home: other });
      await log.append(intentOf('dec_long'));
      const ref = await log.append(outcomeOf('dec_long'), await draftedOf(log, PIECES, 'the rest'));
      await log.close();
      expect(await verifyAudit(other)).toMatchObject({ ok: true, contents: { kept: 1 } });
      if (!ref?.parts) throw new Error('it is not in pieces');
      const frames = [ref, ...ref.parts];
      expect(frames).toHaveLength(4);
      const { content, keys } = auditLayout(other);
      for (const [number, { segment, offset, bytes: length }] of frames.entries()) {
        const file = join(content, `${segment}.seg`);
        const bytes = await readFile(file);
        const expectBad = async (reason: string, changed: Buffer): Promise<void> => {
          await writeFile(file, changed);
          const { problems } = await verifyAudit(other);
          await writeFile(file, bytes);
          expect({ number, problems }).toEqual({
            number,
            problems: [expect.objectContaining({ id: 'dec_long', reason: expect.stringContaining(reason) })],
          });
        };
        const flipped = Buffer.from(bytes);
        flipped[offset + length - 1]! ^= 0x80;
        await expectBad('changed', flipped);
        await expectBad('overwritten', Buffer.from(bytes).fill(0, offset, offset + length));
        await expectBad('missing', bytes.subarray(0, offset + length - 1));
        const next = frames[number + 1];
        if (next?.segment === segment) {
          const swapped = Buffer.concat([
            bytes.subarray(next.offset, next.offset + next.bytes),
            bytes.subarray(offset, next.offset),
          ]);
          await expectBad(
            'changed',
            Buffer.concat([bytes.subarray(0, offset), swapped, bytes.subarray(next.offset + next.bytes)]),
          );
        }
        const key = join(keys, `${segment}.key`);
        const secret = await readFile(key);
        await rm(key);
        expect((await verifyAudit(other)).bad).toMatchObject({
          id: 'dec_long',
          reason: expect.stringContaining('key'),
        });
        await writeFile(key, secret);
      }
      expect(await verifyAudit(other)).toMatchObject({ ok: true });
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });

  test('an erasure of one piece by hand is no excuse for what was done to another', async () => {
    const other = await mkdtemp(join(tmpdir(), 'aegis-tamper-'));
    try {
      const log = await openAuditLog({ home: other });
      await log.append(intentOf('dec_long'));
      const ref = await log.append(outcomeOf('dec_long'), await draftedOf(log, PIECES, null));
      await log.close();
      if (!ref?.parts) throw new Error('it is not in pieces');
      const layout = auditLayout(other);
      await eraseContents(layout, localDisk, [{ id: 'dec_long', ...ref }], '', Date.now());
      expect(await verifyAudit(other)).toMatchObject({ ok: true, contents: { erased: 1, kept: 0 } });
      const file = join(layout.content, `${ref.segment}.seg`);
      const bytes = await readFile(file);
      bytes[ref.parts[1]!.offset]! ^= 1;
      await writeFile(file, bytes);
      expect(await verifyAudit(other)).toMatchObject({
        ok: false,
        bad: { id: 'dec_long', reason: 'its content was changed' },
        contents: { erased: 0, kept: 0 },
      });
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });
});

describe('the order of intents and outcomes', () => {
  test('a second outcome, and an outcome without an intent or a decision of its own, are findings', async () => {
    const other = await mkdtemp(join(tmpdir(), 'aegis-tamper-'));
    try {
      const log = await openAuditLog({ home: other });
      await log.append(intentOf('a'));
      await log.append(outcomeOf('a'));
      await log.append(outcomeOf('denied', { input: {}, decision: {}, outcome: 'denied' }));
      await log.append(outcomeOf('a'));
      await log.close();
      expect((await verifyAudit(other)).problems).toEqual([
        expect.objectContaining({
          index: 5,
          id: 'a',
          reason: expect.stringMatching(/without an intent, or a second one/),
        }),
      ]);
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });
});

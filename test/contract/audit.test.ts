import { createDecipheriv, createHash, createPublicKey, verify } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import type { AuditRecord } from '../../gateway/types.gen.ts';
import { contentOf, draftedOf, intentOf, outcomeOf, withHome } from '../support/audit.ts';

/** A reader written from docs/audit.md alone, sharing no code with the gateway. */
const readIndependently = (audit: string): { records: AuditRecord[]; head: Buffer; log: string } => {
  const records: AuditRecord[] = [];
  let chain = Buffer.alloc(32);
  let log = '';
  readdirSync(join(audit, 'chain'))
    .sort()
    .forEach((name, number) => {
      if (name !== `${String(number + 1).padStart(10, '0')}.log`) throw new Error('a segment is missing');
      const bytes = readFileSync(join(audit, 'chain', name));
      for (let at = 0; at < bytes.length; ) {
        if (crc32(bytes.subarray(at + 4, at + 40)) !== bytes.readUInt32BE(at)) throw new Error('CRC');
        const payload = bytes.subarray(at + 40, at + 40 + bytes.readUInt32BE(at + 4));
        const next = createHash('sha256').update(chain).update(payload).digest();
        if (!next.equals(bytes.subarray(at + 8, at + 40))) throw new Error('chain');
        const record = JSON.parse(payload.toString('utf8')) as AuditRecord;
        if (at === 0) {
          const { detail } = record as unknown as {
            detail: { log: string; segment: number; index: number; previous: string };
          };
          log ||= detail.log;
          expect(detail).toMatchObject({
            log,
            segment: number + 1,
            index: records.length,
            previous: chain.toString('hex'),
          });
        }
        records.push(record);
        chain = next;
        at += 40 + payload.length;
      }
    });
  return { records, head: chain, log };
};

interface Frame {
  readonly segment: string;
  readonly offset: number;
  readonly bytes: number;
  readonly sha256: string;
}

const decryptIndependently = (audit: string, content: Frame & { readonly parts?: readonly Frame[] }): string =>
  Buffer.concat([content, ...(content.parts ?? [])].map((frame) => decryptFrame(audit, frame))).toString('utf8');

const decryptFrame = (audit: string, ref: Frame): Buffer => {
  const segment = readFileSync(join(audit, 'content', `${ref.segment}.seg`));
  const frame = segment.subarray(ref.offset, ref.offset + ref.bytes);
  expect(createHash('sha256').update(frame).digest('hex')).toBe(ref.sha256);
  const secret = readFileSync(join(audit, 'keys', `${ref.segment}.key`));
  // The key stream of the whole segment: as many zeros as lie before the frame show where it begins.
  const decipher = createDecipheriv('aes-256-ctr', secret, Buffer.alloc(16));
  decipher.update(Buffer.alloc(ref.offset));
  return decipher.update(frame).subarray(16);
};

describe('the audit log as docs/audit.md describes it', () => {
  test('a reader written from that page alone reads, checks and decrypts it', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 3000 });
      for (let index = 0; index < 20; index++) {
        await log.append(intentOf(`d${index}`), contentOf(`prompt ${index}: ¿qué?`));
        // Every third answer was long, and cut in the middle of a character.
        const bytes = Buffer.from(`answer ${index} ü`);
        const draft = log.openContent(7);
        if (index % 3 === 0) for (const byte of bytes.subarray(0, -1)) await draft.write([Buffer.of(byte)]);
        const chunks = [bytes.subarray(draft.bytes)];
        await log.append(outcomeOf(`d${index}`), { chunks, retentionDays: 7, ...(draft.bytes > 0 ? { draft } : {}) });
      }
      await log.close();
      const audit = join(home, 'audit');
      const { records, head, log: id } = readIndependently(audit);
      const intents = records.filter((record) => record.kind === 'intent');
      expect(intents.map((record) => record.content && decryptIndependently(audit, record.content))).toEqual(
        Array.from({ length: 20 }, (_, index) => `prompt ${index}: ¿qué?`),
      );
      const outcomes = records.filter((record) => record.kind === 'outcome');
      expect(outcomes.map((record) => record.content && decryptIndependently(audit, record.content))).toEqual(
        Array.from({ length: 20 }, (_, index) => `answer ${index} ü`),
      );
      expect(outcomes.filter(({ content }) => content?.parts)).toHaveLength(7);

      const notes = readFileSync(join(audit, 'checkpoints'), 'utf8').trim().split('\n\n');
      const [text, signed] = notes.slice(-2) as [string, string];
      expect(text.split('\n').slice(0, 3)).toEqual([
        `aegis-audit-chain ${id}`,
        String(records.length),
        head.toString('base64'),
      ]);
      const vkey = readFileSync(join(audit, 'checkpoint.pub'), 'utf8').trim();
      // The last part is base64 and may hold a plus itself.
      const [, name, hash, encoded] = /^([^+]+)\+([^+]+)\+(.+)$/.exec(vkey) as unknown as [
        string,
        string,
        string,
        string,
      ];
      const raw = Buffer.from(encoded, 'base64');
      const [, signer, signature] = signed.split(' ') as [string, string, string];
      const bytes = Buffer.from(signature, 'base64');
      expect([signer, bytes.subarray(0, 4).toString('hex'), raw[0]]).toEqual([name, hash, 1]);
      const keyHash = createHash('sha256').update(`${name}\n`).update(raw).digest().subarray(0, 4).toString('hex');
      expect(keyHash).toBe(hash);
      const key = createPublicKey({
        key: { kty: 'OKP', crv: 'Ed25519', x: raw.subarray(1).toString('base64url') },
        format: 'jwk',
      });
      expect(verify(null, Buffer.from(`${text}\n`), key, bytes.subarray(4))).toBe(true);
    }));

  test('every record follows schemas/audit.json', () =>
    withHome(async (home, open) => {
      const schema = JSON.parse(readFileSync(new URL('../../schemas/audit.json', import.meta.url), 'utf8'));
      const validate = new Ajv({ strictTypes: false }).compile(schema);
      const log = await open({ segmentBytes: 1500 });
      await log.append(intentOf('d1'), contentOf('x'));
      await log.append(outcomeOf('d1'), await draftedOf(log, ['a', 'long'], 'answer'));
      await log.append({ kind: 'suppressed', time: '2026-11-24T10:00:00.000Z', count: 3 });
      await log.close();
      await (await open()).close();
      const { records } = readIndependently(join(home, 'audit'));
      expect(records.length).toBeGreaterThan(7);
      for (const record of records) expect([record, validate(record), validate.errors]).toEqual([record, true, null]);
    }));
});

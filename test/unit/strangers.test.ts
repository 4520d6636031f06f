import { afterEach, expect, jest, test } from '@jest/globals';
import type { AuditLog } from '../../gateway/audit/audit-log.ts';
import { openStrangers } from '../../gateway/strangers.ts';
import type { AuditRecord } from '../../gateway/types.gen.ts';

afterEach(() => {
  jest.useRealTimers();
});

const open = (append: (record: AuditRecord) => Promise<null> = async () => null) => {
  jest.useFakeTimers();
  const records: AuditRecord[] = [];
  const errors: unknown[] = [];
  const audit: AuditLog = {
    healthy: true,
    append: (record) => {
      records.push(record);
      return append(record);
    },
    openContent: () => {
      throw new Error('a stranger has no content');
    },
    close: async () => {},
  };
  return { records, errors, strangers: openStrangers(audit, (error) => errors.push(error)) };
};

const counts = (records: readonly AuditRecord[]): number[] =>
  records.map((record) => (record.kind === 'suppressed' ? record.count : Number.NaN));

test('an address has ten records a second, and the excess is one record', async () => {
  const { strangers, records } = open();
  const taken = Array.from({ length: 25 }, () => strangers.record('10.0.0.1')).filter(Boolean);
  expect(taken).toHaveLength(10);
  expect(strangers.record('10.0.0.2')).toBe(true);
  await jest.advanceTimersByTimeAsync(1000);
  expect(counts(records)).toEqual([15]);
  expect(strangers.record('10.0.0.1')).toBe(true);
  strangers.close();
  expect(counts(records)).toEqual([15]);
});

test('a stranger with a network of addresses fills no disk', () => {
  const { strangers, records } = open();
  let taken = 0;
  for (let address = 0; address < 100_000; address++) if (strangers.record(`fd00::${address.toString(16)}`)) taken++;
  strangers.close();
  expect(taken).toBe(200);
  expect(counts(records)).toEqual([99_800]);
});

test('what could not be written is counted on', async () => {
  let isFull = true;
  const { strangers, records, errors } = open(async () => {
    if (isFull) throw new Error('full');
    return null;
  });
  for (let index = 0; index < 12; index++) strangers.record('a');
  await jest.advanceTimersByTimeAsync(1000);
  isFull = false;
  await jest.advanceTimersByTimeAsync(1000);
  strangers.close();
  expect(counts(records)).toEqual([2, 2]);
  expect(errors).toHaveLength(1);
});

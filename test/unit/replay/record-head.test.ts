import { expect, test } from '@jest/globals';
import { recordHead } from '../../../gateway/replay/record-head.ts';

const TIME = '2026-11-24T12:00:00.000Z';
const INTENT = { kind: 'intent', id: 'dec_1', time: TIME };
const OUTCOME = { kind: 'outcome', id: 'dec_1', request_id: 'req_1', time: TIME };

test.each([
  ['an intent', INTENT, { kind: 'intent', id: 'dec_1', timeMs: Date.parse(TIME) }],
  ['an outcome', OUTCOME, { kind: 'outcome', id: 'dec_1', timeMs: Date.parse(TIME) }],
])('%s is read from its first bytes, and from any order of its keys', (_name, record, head) => {
  for (const keys of [Object.entries(record), Object.entries(record).reverse()]) {
    const text = JSON.stringify({ ...Object.fromEntries(keys), input: {} });
    expect(recordHead(text)).toEqual(head);
    expect(recordHead(Buffer.from(text))).toEqual(head);
  }
});

test('what is of a mirror was decided with the request that it mirrors, and is not replayed', () => {
  for (const record of [INTENT, OUTCOME]) {
    const mirrored = { ...record, mirror_of: 'dec_0', input: {} };
    expect(recordHead(JSON.stringify(mirrored))).toBeUndefined();
    expect(recordHead(JSON.stringify(Object.fromEntries(Object.entries(mirrored).reverse())))).toBeUndefined();
  }
  // Only its own field says so, not what a caller wrote.
  expect(recordHead(JSON.stringify({ ...INTENT, input: { tags: { mirror_of: 'x' } } }))).toMatchObject({ id: 'dec_1' });
});

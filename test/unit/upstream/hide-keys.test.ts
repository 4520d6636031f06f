import { expect, test } from '@jest/globals';
import { createKeyHider } from '../../../gateway/upstream/hide-keys.ts';

const hide = createKeyHider(['sk-proj-0123456789', 'key"with\\quote-é', 'EMPTY']);

test('a body without a key is the same Buffer', () => {
  const body = Buffer.from('{"error":{"message":"no key here, EMPTY as it is"}}');
  expect(hide(body)).toBe(body);
});

test('each key is taken out wherever it stands, plain and escaped, and the body stays JSON', () => {
  const body = { error: { message: 'Bearer sk-proj-0123456789, again sk-proj-0123456789 and key"with\\quote-é.' } };
  const hidden = hide(Buffer.from(JSON.stringify(body))).toString();
  expect(JSON.parse(hidden)).toEqual({ error: { message: 'Bearer [key], again [key] and [key].' } });
  expect(hide(Buffer.from('401: sk-proj-0123456789')).toString()).toBe('401: [key]');
});

test('bytes that are not UTF-8 stay what they are', () => {
  const body = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('sk-proj-0123456789é')]);
  expect(hide(body)).toEqual(Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('[key]é')]));
});

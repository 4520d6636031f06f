import { createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { createHmacSha256 } from '../../../gateway/hmac.ts';
import type { Entity, RedactRule } from '../../../gateway/redact/redactor.ts';
import { createVaults } from '../../../gateway/redact/vault.ts';

const SECRET = Buffer.alloc(32, 9);
const openVault = createVaults(SECRET);

const rule = (
  action: RedactRule['action'] = 'tokenize',
  restore: RedactRule['restore'] = ['text'],
  entity: Entity = 'email',
): RedactRule => ({ entity, action, in: ['request'], restore });

const BOB = 'bob@example.com';

describe('placeholders', () => {
  test('have a name and 13 characters that JSON, Markdown, HTML and URLs leave alone', () => {
    const text = openVault('s').replace(BOB, 'email', rule());
    expect(text).toMatch(/^EMAIL_[A-HJKMNP-S][0-9A-HJKMNP-TV-Z]{11}[A-HJKMNP-S]$/);
    expect(JSON.stringify(text)).toBe(`"${text}"`);
    expect(encodeURIComponent(text)).toBe(text);
  });

  test('are the same for a value throughout a scope, and different in another scope, for another entity or secret', () => {
    const text = openVault('s').replace(BOB, 'email', rule());
    expect(openVault('s').replace(BOB, 'email', rule())).toBe(text);
    const id = text.slice('EMAIL_'.length);
    expect(openVault('t').replace(BOB, 'email', rule())).not.toContain(id);
    expect(openVault('s').replace(BOB, 'api_key', rule())).not.toContain(id);
    expect(createVaults(Buffer.alloc(32, 8))('s').replace(BOB, 'email', rule())).not.toContain(id);
  });

  test('that the caller has typed are not made, so that they restore nothing', () => {
    const typed = openVault('s').replace(BOB, 'email', rule());
    const caller = `${BOB} and ${typed}`;
    const vault = openVault('s', (id) => caller.includes(id));
    const made = vault.replace(BOB, 'email', rule());
    expect(made).not.toBe(typed);
    expect(vault.restore(`${typed} ${made}`, 'text')).toBe(`${typed} ${BOB}`);
  });

  test('fail the request when every one is taken', () => {
    expect(() => openVault('s', () => true).replace(BOB, 'email', rule())).toThrow(
      expect.objectContaining({ code: 'internal_error' }),
    );
  });

  test('need a secret of 32 bytes', () => {
    expect(() => createVaults(Buffer.alloc(31))).toThrow(RangeError);
  });

  test.each([1, 32, 64, 65, 200])('are keyed by a true HMAC-SHA256, whose key may have %i bytes', (length) => {
    const key = Buffer.alloc(length, 5);
    for (const text of ['', 'abc', 'é😀'.repeat(40)])
      expect(createHmacSha256(key)(text)).toEqual(createHmac('sha256', key).update(text).digest());
  });
});

describe('actions', () => {
  test.each([
    ['4111111111111111', 'card', '****1111'],
    ['460-89-9847', 'us_ssn', '****47'],
    ['abc', 'api_key', '****'],
    ['x😀', 'api_key', '****'],
    ['abcdefg\u{1f600}', 'email', '****\u{1f600}'],
  ] as const)('mask leaves a short tail of %s', (value, entity, masked) => {
    const vault = openVault('s');
    expect(vault.replace(value, entity, rule('mask', [], entity))).toBe(masked);
    expect(vault.size).toBe(0);
  });

  test('hash is stable within a scope and is never restored', () => {
    const vault = openVault('s');
    const hashed = vault.replace(BOB, 'email', rule('hash', ['text']));
    expect(hashed).toMatch(/^EMAIL_HASH_[0-9A-Z]{13}$/);
    expect(openVault('s').replace(BOB, 'email', rule('hash'))).toBe(hashed);
    expect(openVault('t').replace(BOB, 'email', rule('hash'))).not.toBe(hashed);
    expect(vault.restore(hashed, 'text')).toBe(hashed);
    const made = vault.replace(BOB, 'email', rule());
    expect(hashed).not.toContain(made.slice('EMAIL_'.length));
  });

  test('remove leaves nothing', () => {
    expect(openVault('s').replace(BOB, 'email', rule('remove'))).toBe('');
  });

  test('block has no replacement', () => {
    expect(() => openVault('s').replace(BOB, 'email', rule('block'))).toThrow(TypeError);
  });

  test('only what can be restored counts towards the size', () => {
    const vault = openVault('s');
    vault.replace(BOB, 'email', rule('tokenize', []));
    expect(vault.size).toBe(0);
    vault.replace('al@example.com', 'email', rule());
    vault.replace('al@example.com', 'email', rule());
    expect(vault.size).toBe(1);
  });
});

describe('restoring', () => {
  const vault = openVault('s');
  const held = vault.replace("$& $1 $$ $'", 'api_key', rule('tokenize', ['text'], 'api_key'));
  const email = vault.replace(BOB, 'email', rule());

  test('gives the value byte for byte, patterns of String.replace included', () => {
    expect(vault.restore(`<${held}>${email}${email}`, 'text')).toBe(`<$& $1 $$ $'>${BOB}${BOB}`);
  });

  test('reads an underscore that Markdown escapes, and nothing else that differs', () => {
    expect(vault.restore(email.replace('_', '\\_'), 'text')).toBe(BOB);
    for (const other of [email.toLowerCase(), email.slice(0, -1), email.replace('_', '-'), `X${email.slice(1)}`])
      expect(vault.restore(other, 'text')).toBe(other);
  });

  test('tool arguments are restored only when the rule names them', () => {
    const named = vault.replace('al@example.com', 'email', rule('tokenize', ['tool_arguments']));
    expect(vault.restore(`${email} ${named}`, 'tool_arguments')).toBe(`${email} al@example.com`);
    expect(vault.restore(`${email} ${named}`, 'text')).toBe(`${BOB} ${named}`);
  });

  test('a value is encoded for the text around it when asked', () => {
    const quoted = vault.replace('","admin":"', 'api_key', rule('tokenize', ['tool_arguments'], 'api_key'));
    const inJson = (value: string): string => JSON.stringify(value).slice(1, -1);
    const restored = vault.restore(`{"key":"${quoted}"}`, 'tool_arguments', inJson);
    expect(JSON.parse(restored)).toEqual({ key: '","admin":"' });
  });

  test('a stream holds back no more than could become a placeholder', () => {
    const restorer = vault.restorer('text');
    expect(restorer.push('say EMAIL')).toBe('say ');
    expect(restorer.push('S and ')).toBe('EMAILS and ');
    expect(restorer.push('EMAIL_')).toBe('');
    expect(restorer.push('ADDRESS ')).toBe('EMAIL_ADDRESS ');
    expect(restorer.push(email.slice(0, 12))).toBe('');
    expect(restorer.push(email.slice(12))).toBe(BOB);
    expect(restorer.push('KE')).toBe('');
    expect(restorer.flush()).toBe('KE');
  });

  test('what is held back is at most 19 characters', () => {
    const restorer = vault.restorer('text');
    const escaped = email.replace('_', '\\_');
    for (let length = 1; length < escaped.length; length++) {
      const one = vault.restorer('text');
      expect(one.push(`x ${escaped.slice(0, length)}`)).toBe('x ');
      expect(one.flush()).toBe(escaped.slice(0, length));
    }
    let said = '';
    const text = 'EMAIL'.repeat(50) + 'EMAIL_'.repeat(50);
    for (const [index, character] of [...text].entries()) {
      said += restorer.push(character);
      expect(index + 1 - said.length).toBeLessThanOrEqual(19);
    }
    expect(said + restorer.flush()).toBe(text);
  });

  test('a vault without placeholders passes pieces on as they are', () => {
    const restorer = openVault('s').restorer('text');
    expect(restorer.push('EMAIL_')).toBe('EMAIL_');
    expect(restorer.flush()).toBe('');
  });
});

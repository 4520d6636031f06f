import { describe, expect, test } from '@jest/globals';
import { createSecret, digestOf, isSecret } from '../../../gateway/store/key-secret.ts';

describe('key secrets', () => {
  test('a secret is aeg_live_, 43 random characters and 6 of a checksum', () => {
    const secrets = Array.from({ length: 500 }, createSecret);
    for (const secret of secrets) {
      expect(secret).toMatch(/^aeg_live_[0-9A-Za-z]{49}$/);
      expect(isSecret(secret)).toBe(true);
    }
    expect(new Set(secrets).size).toBe(500);
  });

  test('any one changed character is told from a key that does not exist', () => {
    const secret = createSecret();
    for (let i = 0; i < secret.length; i++) {
      const other = secret[i] === 'x' ? 'y' : 'x';
      expect(isSecret(secret.slice(0, i) + other + secret.slice(i + 1))).toBe(false);
    }
    for (const text of ['', secret.slice(1), `${secret} `, 'sk-proj-1234']) expect(isSecret(text)).toBe(false);
  });

  test('a digest depends on the pepper', () => {
    const secret = createSecret();
    expect(digestOf(secret, new Uint8Array(32))).not.toBe(digestOf(secret, new Uint8Array(32).fill(1)));
    expect(digestOf(secret, new Uint8Array(32))).toBe(digestOf(secret, new Uint8Array(32)));
  });
});

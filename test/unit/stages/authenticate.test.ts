import { describe, expect, test } from '@jest/globals';
import { isToken, NO_TOKENS, type TokenVerifier } from '../../../gateway/identity/token-verifier.ts';
import { authenticate } from '../../../gateway/stages/authenticate.ts';
import type { Input } from '../../../gateway/types.gen.ts';
import { CALLER } from '../../support/calls.ts';

const TOKEN = 'aaa.bbb.ccc';
const known: Input['caller'] = { ...CALLER, kind: 'jwt', id: 'jwt_1' };

/** Notes who was asked for which credential. */
const identities = (tokens: Partial<TokenVerifier> = {}) => {
  const asked: string[] = [];
  return {
    asked,
    keys: {
      find: (secret: string) => {
        asked.push(`key ${secret}`);
        return secret === 'aeg_live_good' ? CALLER : undefined;
      },
    },
    tokens: {
      ...NO_TOKENS,
      find: (token: string) => {
        asked.push(`token ${token}`);
        return undefined;
      },
      ...tokens,
    },
  };
};

describe('authenticate', () => {
  test('tells a key’s caller at once, and asks no verifier of tokens', () => {
    const who = identities();
    expect(authenticate({ credential: 'aeg_live_good' }, who, 0)).toBe(CALLER);
    expect(who.asked).toEqual(['key aeg_live_good']);
  });

  test('tells a verified token’s caller at once, and that of a new one later', async () => {
    expect(authenticate({ credential: TOKEN }, identities({ find: () => known }), 0)).toBe(known);
    const later = authenticate({ credential: TOKEN }, identities({ verify: async () => known }), 0);
    expect(later).toBeInstanceOf(Promise);
    expect(await later).toBe(known);
  });

  test('takes what starts like a key for one, dots or not, and never asks both', () => {
    const who = identities();
    for (const credential of ['aeg_live_a.b.c', 'aeg_a.b.c', 'nothing', 'a.b', 'a.b.c.d', 'a..c', '.b.c']) {
      expect(() => authenticate({ credential }, who, 0)).toThrow('unknown, revoked or expired');
    }
    expect(who.asked.every((question) => question.startsWith('key '))).toBe(true);
  });

  test('takes no token where no issuer is configured, and nothing without a credential', async () => {
    const who = { ...identities(), tokens: NO_TOKENS };
    await expect(authenticate({ credential: TOKEN }, who, 0)).rejects.toMatchObject({ code: 'invalid_credential' });
    expect(() => authenticate({ credential: null }, who, 0)).toThrow(
      expect.objectContaining({ code: 'missing_credential' }),
    );
  });

  test('knows a token by its three parts', () => {
    expect(['a.b.c', 'A-_9.b.c'].map(isToken)).toEqual([true, true]);
    expect(['a.b.', 'a.b.c ', 'a.b.c=', 'a.b.c.d.e', ''].map(isToken)).toEqual([false, false, false, false, false]);
  });
});

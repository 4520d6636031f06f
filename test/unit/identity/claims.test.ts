import { describe, expect, test } from '@jest/globals';
import { claimAt, parseClaimPath } from '../../../gateway/claim-path.ts';
import type { IssuerSettings } from '../../../gateway/config.ts';
import { createCallerOf } from '../../../gateway/identity/claims.ts';
import { isInput } from '../../../gateway/policy/shapes.ts';
import type { Input } from '../../../gateway/types.gen.ts';
import { student } from '../../support/reference-input.ts';

const ISSUER = { issuer: 'https://id.example', jwks_uri: 'https://id.example/keys', audience: 'aegis' };

const callerOf = (
  payload: object,
  claims: IssuerSettings['claims'],
  more: Partial<IssuerSettings> = {},
): Input['caller'] => createCallerOf({ ...ISSUER, claims, ...more })(payload, 'jwt_1');

const messageOf = (run: () => unknown): string => {
  try {
    run();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('the path of a claim', () => {
  test.each([
    ['org', ['org']],
    ['realm_access.roles', ['realm_access', 'roles']],
    ['/https:~1~1example.org~1team', ['https://example.org/team']],
    ['/a/b~0c', ['a', 'b~c']],
  ])('%s', (text, path) => {
    expect(parseClaimPath(text)).toEqual(path);
  });

  test.each(['', '.', 'a..b', 'a.', '/', '/a//b', '/a~2b', '/a~'])('is not %j', (text) => {
    expect(() => parseClaimPath(text)).toThrow();
  });

  test('leads to own members alone', () => {
    for (const path of ['constructor', 'a.toString', '__proto__', 'a.length', 'text.length', 'list.length']) {
      const payload = { a: {}, text: 'abc', list: [1] };
      const value = claimAt(payload, parseClaimPath(path));
      expect([path, path === 'list.length' ? undefined : value]).toEqual([path, undefined]);
    }
    expect(claimAt(JSON.parse('{"__proto__":{"org":"x"}}'), ['org'])).toBeUndefined();
  });
});

describe('the claims of a token', () => {
  test('are found by path, by pointer, or said by the config', () => {
    const payload = {
      tenant: { name: 'acme' },
      'https://example.org/team': 'math',
      email: 'ann@acme.example',
      roles: ['student'],
      groups: ['g1', 'g1', 'g2'],
      scope: 'read write',
      flow: 'quiz',
    };
    expect(
      callerOf(payload, {
        org: 'tenant.name',
        team: '/https:~1~1example.org~1team',
        user: 'email',
        roles: { value: ['service'] },
        groups: 'groups',
        scopes: 'scope',
        workflows: 'flow',
      }),
    ).toEqual({
      kind: 'jwt',
      id: 'jwt_1',
      org: 'acme',
      team: 'math',
      user: 'ann@acme.example',
      roles: ['service'],
      groups: ['g1', 'g2'],
      workflows: ['quiz'],
      scopes: ['read', 'write'],
      claims: {},
    });
  });

  test('make a caller that fits the input, at every bound', () => {
    const names = (count: number, length: number): string[] =>
      Array.from({ length: count }, (_, n) => String(n).padEnd(length, 'x'));
    const payload = {
      o: 'o'.repeat(128),
      t: 't'.repeat(128),
      u: 'u'.repeat(128),
      r: names(32, 64),
      g: names(64, 128),
      s: names(64, 128),
      w: names(64, 64),
    };
    const claims = { org: 'o', team: 't', user: 'u', roles: 'r', groups: 'g', scopes: 's', workflows: 'w' };
    expect(isInput({ ...student, caller: callerOf(payload, claims) })).toBe(true);
    const beyond: Partial<Record<keyof typeof payload, unknown>>[] = [
      { o: 'o'.repeat(129) },
      { t: 't'.repeat(129) },
      { u: 'u'.repeat(129) },
      { r: names(33, 64) },
      { r: names(1, 65) },
      { g: names(65, 9) },
      { s: names(65, 9) },
      { w: names(1, 65) },
    ];
    for (const change of beyond) {
      expect(messageOf(() => callerOf({ ...payload, ...change }, claims))).not.toBe('');
    }
  });

  test.each([
    ['no organisation', {}, 'The token names no organisation.'],
    ['an empty one', { org: '' }, 'The token names no organisation.'],
    ['null for one', { org: null }, 'The token names no organisation.'],
    ['a number for one', { org: 7 }, 'The claim for org is not a text.'],
    ['a list for one', { org: ['acme'] }, 'The claim for org is not a text.'],
    ['one with a slash', { org: 'a/b' }, 'The organisation that the token names has a slash.'],
    ['one with a line break', { org: 'a\nb' }, 'The claim for org has control characters.'],
    ['half a surrogate pair', { org: 'a\ud800' }, 'The claim for org has control characters.'],
    ['roles that are an object', { org: 'a', roles: {} }, 'The claim for roles is not a list of texts.'],
    ['a role that is a number', { org: 'a', roles: [1] }, 'The claim for roles is not a list of texts.'],
  ])('with %s are refused', (_, payload, message) => {
    expect(messageOf(() => callerOf(payload, { org: 'org', roles: 'roles' }))).toBe(message);
  });

  test('give only roles that the issuer may give', () => {
    const payload = { org: 'acme', roles: ['student', 'platform-admin'] };
    const claims = { org: 'org', roles: 'roles' };
    expect(callerOf(payload, claims).roles).toEqual(['student', 'platform-admin']);
    expect(callerOf(payload, claims, { allow_roles: ['student', 'teacher'] }).roles).toEqual(['student']);
    expect(callerOf(payload, claims, { allow_roles: [] }).roles).toEqual([]);
  });

  test('are seen by policies where they are allow-listed, and only then', () => {
    const payload = { org: 'acme', year: 2, staff: false, address: { city: 'Ghent' }, gone: null, secret: 's' };
    const shown = { allow_claims: ['year', 'staff', 'address.city', 'gone', 'absent'] };
    expect(callerOf(payload, { org: 'org' }, shown).claims).toEqual({ year: 2, staff: false, 'address.city': 'Ghent' });
    for (const value of [{}, ['a'], 'x'.repeat(257)]) {
      const message = messageOf(() => callerOf({ org: 'acme', year: value }, { org: 'org' }, shown));
      expect(message).toContain('The claim year is not a text');
    }
  });

  test('cannot be changed by one request for the next', () => {
    const caller = callerOf({ org: 'acme', roles: ['student'] }, { org: 'org', roles: 'roles' });
    expect(() => caller.roles.push('admin')).toThrow();
    expect(() => Object.assign(caller, { org: 'other' })).toThrow();
    expect(() => Object.assign(caller.claims, { staff: true })).toThrow();
  });
});

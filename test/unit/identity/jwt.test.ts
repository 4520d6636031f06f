import { createHmac, createPublicKey } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { JWK } from 'jose';
import type { IssuerSettings } from '../../../gateway/config.ts';
import { openTokenVerifier, type TokenVerifierOptions } from '../../../gateway/identity/jwt.ts';
import type { TokenVerifier } from '../../../gateway/identity/token-verifier.ts';
import { openIssuer, type TestIssuer } from '../../support/issuer.ts';

let issuer: TestIssuer;
const open: TokenVerifier[] = [];
beforeEach(async () => {
  issuer = await openIssuer();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((verifier) => verifier.close()));
  await issuer.close();
});

const verifierOf = (
  options: Partial<TokenVerifierOptions> = {},
  changes: Partial<IssuerSettings> = {},
): TokenVerifier => {
  const entry = { ...issuer.entry, ...changes } as IssuerSettings;
  const verifier = openTokenVerifier([entry], { maxStaleMs: 900_000, cooldownMs: 0, ...options });
  open.push(verifier);
  return verifier;
};

const codeOf = async (verified: Promise<unknown>): Promise<string> => {
  try {
    await verified;
    return 'verified';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

const now = (): number => Date.now();
const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('a token of a configured issuer', () => {
  test('is the caller that its claims say', async () => {
    const token = await issuer.token({
      team: 'math',
      preferred_username: 'ann',
      realm_access: { roles: ['student', 'teacher'] },
    });
    expect(await verifierOf().verify(token, now())).toEqual({
      kind: 'jwt',
      id: expect.stringMatching(/^jwt_[0-9a-f]{24}$/),
      org: 'acme',
      team: 'math',
      user: 'ann',
      roles: ['student', 'teacher'],
      groups: [],
      workflows: [],
      scopes: [],
      claims: {},
    });
  });

  test('has one id for its subject, and another for another', async () => {
    const verifier = verifierOf();
    const idOf = async (sub: string, more = {}): Promise<string> =>
      (await verifier.verify(await issuer.token({ sub, ...more }), now())).id;
    expect(await idOf('a')).toBe(await idOf('a', { team: 'x' }));
    expect(await idOf('a')).not.toBe(await idOf('b'));
  });

  test('is found at no wait once it was verified, until it expires', async () => {
    const verifier = verifierOf();
    const token = await issuer.token();
    expect(verifier.find(token, now())).toBeUndefined();
    const caller = await verifier.verify(token, now());
    expect(verifier.find(token, now())).toBe(caller);
    expect(verifier.find(token, now() + 3_600_000 + 31_000)).toBeUndefined();
    expect(issuer.asked).toBe(1);
  });

  test.each(['RS256', 'PS256', 'ES384', 'EdDSA'])('may be signed by %s where the config says so', async (alg) => {
    await issuer.addKey(alg);
    const token = await issuer.token();
    expect(await codeOf(verifierOf({}, { algorithms: [alg as 'RS256'] }).verify(token, now()))).toBe('verified');
    if (alg !== 'RS256') expect(await codeOf(verifierOf().verify(token, now()))).toBe('invalid_credential');
  });

  test('may have its audience in a list, and goes to the entry of that audience', async () => {
    const other = { ...issuer.entry, audience: 'other', claims: { org: { value: 'elsewhere' } } };
    const verifier = openTokenVerifier([other, issuer.entry] as IssuerSettings[], { maxStaleMs: 900_000 });
    open.push(verifier);
    expect((await verifier.verify(await issuer.token({ aud: ['x', 'aegis'] }), now())).org).toBe('acme');
    expect((await verifier.verify(await issuer.token({ aud: 'other' }), now())).org).toBe('elsewhere');
    expect(issuer.asked).toBe(1);
  });

  test('holds with clocks that differ by half a minute, and no more', async () => {
    const verifier = verifierOf();
    const second = (offset: number): number => Math.floor(now() / 1000) + offset;
    const code = async (claims: Record<string, unknown>): Promise<string> =>
      codeOf(verifier.verify(await issuer.token(claims), now()));
    expect(await code({ exp: second(-20) })).toBe('verified');
    expect(await code({ exp: second(-40) })).toBe('invalid_credential');
    expect(await code({ nbf: second(20) })).toBe('verified');
    expect(await code({ nbf: second(50) })).toBe('invalid_credential');
  });
});

describe('a token is refused', () => {
  const refusals: [string, (verifier: TokenVerifier) => Promise<string>][] = [
    ['of another issuer', () => issuer.token({ iss: 'https://evil.example' })],
    ['without an issuer', () => issuer.token({ iss: undefined })],
    ['for another audience', () => issuer.token({ aud: 'somebody-else' })],
    ['without an audience', () => issuer.token({ aud: undefined })],
    ['that never expires', () => issuer.token({ exp: undefined })],
    ['whose expiry is a text', () => issuer.token({ exp: '9999999999' })],
    ['without a subject', () => issuer.token({ sub: undefined })],
    ['with an empty subject', () => issuer.token({ sub: '' })],
    ['with an endless subject', () => issuer.token({ sub: 'x'.repeat(600) })],
    [
      'with a critical header that is not understood',
      () =>
        issuer.token({}, { header: { crit: ['x'], x: 1 } }).catch(() => unsigned({ alg: 'ES256', crit: ['x'], x: 1 })),
    ],
    ['that is not signed', async () => `${base64url({ alg: 'none' })}.${base64url(await payload())}.`],
    ['that says none and has a signature', () => unsigned({ alg: 'none' })],
    [
      'with a signature of another token',
      async () => {
        const [one, two] = [await issuer.token(), await issuer.token({ org: 'other' })];
        return [...two.split('.').slice(0, 2), one.split('.')[2]].join('.');
      },
    ],
    [
      'with a payload that is no JSON',
      async () => {
        const [header, , signature] = (await issuer.token()).split('.');
        return [header, Buffer.from('{').toString('base64url'), signature].join('.');
      },
    ],
    ['that is too long', () => issuer.token({ pad: 'x'.repeat(9_000) })],
  ];
  const payload = async (): Promise<unknown> =>
    JSON.parse(Buffer.from((await issuer.token()).split('.')[1] as string, 'base64url').toString());
  const unsigned = async (header: object): Promise<string> =>
    `${base64url(header)}.${base64url(await payload())}.${Buffer.from('x').toString('base64url')}`;

  test.each(refusals)('%s', async (_, make) => {
    const verifier = verifierOf();
    // One good token first: the keys are known, so that no refusal is for want of them.
    expect(await codeOf(verifier.verify(await issuer.token(), now()))).toBe('verified');
    const token = await make(verifier);
    expect(await codeOf(verifier.verify(token, now()))).toBe('invalid_credential');
    expect(verifier.find(token, now())).toBeUndefined();
  });

  test.each(['HS256', 'HS384', 'HS512'])('made with the public key as a secret of %s', async (alg) => {
    const jwk = await issuer.addKey('RS256');
    const pem = createPublicKey({ key: jwk as Record<string, unknown>, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    });
    const signed = `${base64url({ alg, kid: jwk.kid })}.${base64url(await payload())}`;
    const digest = `sha${alg.slice(2)}`;
    for (const secret of [pem, JSON.stringify(jwk), jwk.n as string, Buffer.from(jwk.n as string, 'base64url')]) {
      const forged = `${signed}.${createHmac(digest, secret).update(signed).digest('base64url')}`;
      expect(await codeOf(verifierOf().verify(forged, now()))).toBe('invalid_credential');
    }
  });

  test('made with a secret that the key set itself holds', async () => {
    const secret = Buffer.alloc(32, 7);
    issuer.published = [{ kty: 'oct', k: secret.toString('base64url'), kid: 'oct', alg: 'HS256' }, ...issuer.published];
    const signed = `${base64url({ alg: 'HS256', kid: 'oct' })}.${base64url(await payload())}`;
    const forged = `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    expect(await codeOf(verifierOf().verify(forged, now()))).toBe('invalid_credential');
  });

  test('that brings its own key, or names where it is, and nobody is asked', async () => {
    const stranger = await openIssuer();
    try {
      const jwk = stranger.published[0] as JWK;
      for (const header of [{ jwk }, { jku: stranger.entry.jwks_uri }, { x5u: stranger.entry.jwks_uri }]) {
        const token = await stranger.token({ iss: issuer.entry.issuer }, { header });
        expect(await codeOf(verifierOf().verify(token, now()))).toBe('invalid_credential');
      }
      expect(stranger.asked).toBe(0);
    } finally {
      await stranger.close();
    }
  });

  test('of another configured issuer with the same kid', async () => {
    const other = await openIssuer();
    try {
      const verifier = openTokenVerifier([issuer.entry, other.entry] as IssuerSettings[], { maxStaleMs: 900_000 });
      open.push(verifier);
      // Both call their key k0. Each may speak for itself alone.
      expect(await codeOf(verifier.verify(await other.token(), now()))).toBe('verified');
      const crossed = await other.token({ iss: issuer.entry.issuer });
      expect(await codeOf(verifier.verify(crossed, now()))).toBe('invalid_credential');
    } finally {
      await other.close();
    }
  });

  test('when the key of its kid is for another algorithm or use', async () => {
    const [jwk] = issuer.published;
    for (const change of [{ alg: 'ES384' }, { use: 'enc' }, { key_ops: ['sign'] }]) {
      issuer.published = [{ ...jwk, ...change } as JWK];
      expect(await codeOf(verifierOf().verify(await issuer.token(), now()))).toBe('invalid_credential');
    }
  });

  test('signed with an RSA key that is too short', async () => {
    const { generateKeyPairSync, createSign } = await import('node:crypto');
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    issuer.published = [{ ...publicKey.export({ format: 'jwk' }), kid: 'short', alg: 'RS256' } as JWK];
    const signed = `${base64url({ alg: 'RS256', kid: 'short' })}.${base64url(await payload())}`;
    const token = `${signed}.${createSign('sha256').update(signed).sign(privateKey, 'base64url')}`;
    expect(await codeOf(verifierOf().verify(token, now()))).toBe('invalid_credential');
  });

  test('with a reason where it is genuine, without one where it is not', async () => {
    const messageOf = async (token: string): Promise<string> =>
      verifierOf()
        .verify(token, now())
        .then(
          () => '',
          (error: Error) => error.message,
        );
    expect(await messageOf(await issuer.token({ exp: 1 }))).toBe('The token has expired.');
    expect(await messageOf(await issuer.token({ org: undefined }))).toBe('The token names no organisation.');
    const [header, body] = (await issuer.token({ exp: 1 })).split('.');
    expect(await messageOf(`${header}.${body}.AAAA`)).toBe('The token is not valid here.');
  });
});

describe('the keys of an issuer', () => {
  test('may be replaced: a token of the new key is taken, one of the old no more, though it was verified', async () => {
    const verifier = verifierOf();
    const old = await issuer.token();
    await verifier.verify(old, now());
    await issuer.addKey('ES256', true);
    expect(await codeOf(verifier.verify(await issuer.token(), now()))).toBe('verified');
    expect(verifier.find(old, now())).toBeUndefined();
    expect(await codeOf(verifier.verify(old, now()))).toBe('invalid_credential');
  });

  test('are looked at again by themselves', async () => {
    const verifier = verifierOf({ refreshMs: 20 });
    const old = await issuer.token();
    await verifier.verify(old, now());
    await issuer.addKey('ES256', true);
    while (verifier.find(old, now())) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(issuer.asked).toBeGreaterThan(1);
  });

  test('are believed while the issuer is down, and no longer than is allowed', async () => {
    const verifier = verifierOf({ maxStaleMs: 60_000, refreshMs: 20 });
    const known = await issuer.token();
    await verifier.verify(known, now());
    issuer.play = (_req, res) => void res.writeHead(500).end();
    const fresh = await issuer.token({ team: 'x' });
    expect(await codeOf(verifier.verify(fresh, now()))).toBe('verified');
    expect(verifier.find(known, now())).toBeDefined();
    const later = now() + 61_000;
    expect(verifier.find(known, later)).toBeUndefined();
    expect(await codeOf(verifier.verify(known, later))).toBe('identity_unavailable');
  });

  test('that were never had let nobody in, and are had as soon as the issuer is up', async () => {
    issuer.play = (req) => void req.socket.destroy();
    const verifier = verifierOf({ timeoutMs: 500 });
    const token = await issuer.token();
    expect(await codeOf(verifier.verify(token, now()))).toBe('identity_unavailable');
    issuer.play = null;
    while ((await codeOf(verifier.verify(token, now()))) !== 'verified') {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });

  test('a key that is not known cannot be judged while the issuer is down', async () => {
    const verifier = verifierOf();
    await verifier.verify(await issuer.token(), now());
    await issuer.addKey('ES256', true);
    issuer.play = (_req, res) => void res.writeHead(503).end();
    expect(await codeOf(verifier.verify(await issuer.token(), now()))).toBe('identity_unavailable');
  });

  test('a storm of keys that do not exist asks the issuer once', async () => {
    const verifier = verifierOf({ cooldownMs: 60_000 });
    await verifier.verify(await issuer.token(), now());
    const before = issuer.asked;
    const storm = await Promise.all(
      Array.from({ length: 200 }, async (_, n) =>
        codeOf(verifier.verify(await issuer.token({}, { header: { kid: `x${n}` } }), now())),
      ),
    );
    expect(new Set(storm)).toEqual(new Set(['invalid_credential']));
    expect(issuer.asked - before).toBeLessThanOrEqual(1);
    // Nor while it is down.
    issuer.play = (_req, res) => void res.writeHead(503).end();
    for (let n = 0; n < 50; n++)
      await codeOf(verifier.verify(await issuer.token({}, { header: { kid: `y${n}` } }), now()));
    expect(issuer.asked - before).toBeLessThanOrEqual(1);
  });

  test('many requests with one new token verify it once', async () => {
    const verifier = verifierOf();
    const token = await issuer.token();
    const callers = await Promise.all(Array.from({ length: 50 }, () => verifier.verify(token, now())));
    expect(new Set(callers).size).toBe(1);
  });

  test('are fetched from the configured address alone: a redirect is not followed', async () => {
    let followed = 0;
    const elsewhere = createServer((_req, res) => {
      followed += 1;
      res.end(JSON.stringify({ keys: issuer.published }));
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    try {
      const location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/keys`;
      issuer.play = (_req, res) => void res.writeHead(302, { location }).end();
      const verifier = verifierOf();
      expect(await codeOf(verifier.verify(await issuer.token(), now()))).toBe('identity_unavailable');
      expect(followed).toBe(0);
    } finally {
      elsewhere.closeAllConnections();
      elsewhere.close();
    }
  });

  test.each([
    ['a page', '<html></html>'],
    ['null', 'null'],
    ['no keys', '{"keys":{}}'],
    ['keys that are none', '{"keys":[1]}'],
    ['too many keys', JSON.stringify({ keys: Array.from({ length: 65 }, () => ({ kty: 'EC' })) })],
    ['endless bytes', `{"keys":[],"pad":"${'x'.repeat(600_000)}"}`],
  ])('are not %s', async (_, text) => {
    issuer.play = (_req, res) => void res.writeHead(200).end(text);
    expect(await codeOf(verifierOf().verify(await issuer.token(), now()))).toBe('identity_unavailable');
  });

  test('need no kid while there is one of them', async () => {
    const unnamed = await issuer.token({}, { header: { kid: undefined } });
    expect(await codeOf(verifierOf().verify(unnamed, now()))).toBe('verified');
    await issuer.addKey();
    expect(await codeOf(verifierOf().verify(unnamed, now()))).toBe('invalid_credential');
  });

  test('that never come are given up', async () => {
    issuer.play = () => {};
    const verifier = verifierOf({ timeoutMs: 50 });
    expect(await codeOf(verifier.verify(await issuer.token(), now()))).toBe('identity_unavailable');
  });
});

describe('memory', () => {
  test('holds so many tokens and no more', async () => {
    const verifier = verifierOf({ maxRemembered: 3 });
    const tokens = await Promise.all(['a', 'b', 'c', 'd'].map((sub) => issuer.token({ sub })));
    for (const token of tokens) await verifier.verify(token, now());
    expect(tokens.map((token) => verifier.find(token, now()) !== undefined)).toEqual([false, true, true, true]);
  });

  test('takes no token at all where no issuer is configured', async () => {
    const verifier = openTokenVerifier([], { maxStaleMs: 900_000 });
    expect(await codeOf(verifier.verify(await issuer.token(), now()))).toBe('invalid_credential');
    expect(issuer.asked).toBe(0);
  });
});

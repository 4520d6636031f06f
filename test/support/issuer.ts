import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

/** The settings of `identity.jwt` that fit the tokens below. */
export interface IssuerEntry {
  readonly issuer: string;
  readonly jwks_uri: string;
  readonly audience: string;
  readonly claims: Record<string, unknown>;
}

export interface TokenOptions {
  /** Which of the issuer's keys signs; the newest by default. */
  readonly key?: number;
  readonly alg?: string;
  /** Over the header; undefined leaves a member out. */
  readonly header?: Record<string, unknown>;
}

/** An OIDC issuer of a test's own: a set of keys over HTTP, and tokens signed with them. */
export interface TestIssuer {
  readonly entry: IssuerEntry;
  /** How often the keys were asked for. */
  readonly asked: number;
  /** Replaces the answer; null is the key set. */
  play: ((req: IncomingMessage, res: ServerResponse) => void) | null;
  /** The keys that it tells. */
  published: JWK[];
  /** Makes a key and publishes it beside the others, or alone. */
  addKey(alg?: string, alone?: boolean): Promise<JWK>;
  /** A token of this issuer for this audience that holds for an hour, with these claims over it; undefined leaves one out. */
  token(claims?: Record<string, unknown>, options?: TokenOptions): Promise<string>;
  close(): Promise<void>;
}

export const AUDIENCE = 'aegis';

/** The claims that `entry` maps. */
export const CLAIMS = { org: 'org', team: 'team', user: 'preferred_username', roles: 'realm_access.roles' };

/** Opens an issuer on loopback with one ES256 key. */
export const openIssuer = async (): Promise<TestIssuer> => {
  const signing: { key: CryptoKey; jwk: JWK }[] = [];
  let asked = 0;
  const server = createServer((req, res) => {
    asked += 1;
    if (issuer.play) issuer.play(req, res);
    else res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: issuer.published }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer: TestIssuer = {
    entry: { issuer: url, jwks_uri: `${url}/keys`, audience: AUDIENCE, claims: CLAIMS },
    get asked() {
      return asked;
    },
    play: null,
    published: [],
    async addKey(alg = 'ES256', alone = false) {
      const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
      const jwk = { ...(await exportJWK(publicKey)), kid: `k${signing.length}`, alg, use: 'sig' };
      signing.push({ key: privateKey, jwk });
      issuer.published = alone ? [jwk] : [...issuer.published, jwk];
      return jwk;
    },
    async token(claims = {}, { key = signing.length - 1, alg, header = {} } = {}) {
      const { key: privateKey, jwk } = signing[key]!;
      const now = Math.floor(Date.now() / 1000);
      const whole = {
        iss: url,
        aud: AUDIENCE,
        sub: 'u-1',
        iat: now,
        nbf: now,
        exp: now + 3_600,
        org: 'acme',
        ...claims,
      };
      const defined = Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined));
      return await new SignJWT(defined)
        .setProtectedHeader({ alg: alg ?? (jwk.alg as string), kid: jwk.kid as string, ...header })
        .sign(privateKey);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await issuer.addKey();
  return issuer;
};

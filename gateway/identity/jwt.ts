import { hash } from 'node:crypto';
import { decodeJwt, jwtVerify } from 'jose';
import type { IssuerSettings } from '../config.ts';
import { GatewayError, isGatewayError } from '../errors.ts';
import type { Input } from '../types.gen.ts';
import { type CallerOf, createCallerOf } from './claims.ts';
import { type IdentityLogger, type IssuerKeys, openIssuerKeys } from './issuer-keys.ts';
import { invalidToken, isToken, NO_TOKENS, type TokenVerifier } from './token-verifier.ts';

export interface TokenVerifierOptions {
  /** How old an issuer's keys may become while it cannot be asked. */
  readonly maxStaleMs: number;
  readonly logger?: IdentityLogger;
  /** Verified tokens that are remembered at most. */
  readonly maxRemembered?: number;
  readonly refreshMs?: number;
  readonly cooldownMs?: number;
  readonly timeoutMs?: number;
}

/** Clocks differ by a little. */
const SKEW_S = 30;
/** A header line may be this long; a larger token is not looked at. */
const LONGEST_TOKEN = 8192;
const LONGEST_SUBJECT = 512;
const MAX_REMEMBERED = 10_000;
const REFRESH_MS = 300_000;
const COOLDOWN_MS = 10_000;
const TIMEOUT_MS = 5_000;

interface Issuer {
  readonly settings: IssuerSettings;
  readonly algorithms: readonly string[];
  readonly keys: IssuerKeys;
  readonly callerOf: CallerOf;
}

interface Verified {
  readonly caller: Input['caller'];
  readonly issuer: Issuer;
  readonly revision: number;
  readonly notBeforeMs: number;
  readonly expiresMs: number;
}

/**
 * Opens a verifier of the issuers' tokens. A verified token is remembered by its SHA-256 until it expires or its issuer's
 * keys change. Throws Error for a claim path that is none.
 */
export const openTokenVerifier = (
  settings: readonly IssuerSettings[],
  {
    maxStaleMs,
    logger,
    maxRemembered = MAX_REMEMBERED,
    refreshMs = Math.min(REFRESH_MS, maxStaleMs / 3),
    cooldownMs = COOLDOWN_MS,
    timeoutMs = TIMEOUT_MS,
  }: TokenVerifierOptions,
): TokenVerifier => {
  if (settings.length === 0) return NO_TOKENS;
  const mappings = settings.map(createCallerOf);
  // Two entries may share an issuer, for two audiences: its keys are had once.
  const keysByUri = new Map<string, IssuerKeys>();
  const issuers: Issuer[] = settings.map((entry, index) => {
    const uri = entry.jwks_uri;
    const keys =
      keysByUri.get(uri) ?? openIssuerKeys(uri, { refreshMs, cooldownMs, timeoutMs, ...(logger && { logger }) });
    keysByUri.set(uri, keys);
    return { settings: entry, algorithms: entry.algorithms ?? ['RS256', 'ES256'], keys, callerOf: mappings[index]! };
  });
  const remembered = new Map<string, Verified>();
  const running = new Map<string, Promise<Input['caller']>>();

  const remember = (digest: string, verified: Verified): void => {
    if (remembered.size >= maxRemembered) remembered.delete(remembered.keys().next().value as string);
    remembered.set(digest, verified);
  };
  const verify = async (token: string, digest: string, now: number): Promise<Input['caller']> => {
    const issuer = issuerOf(token, issuers);
    const verified = await verifyBy(issuer, token, now, maxStaleMs);
    remember(digest, verified);
    return verified.caller;
  };

  return {
    find(token, now) {
      const digest = hash('sha256', token, 'base64url');
      const verified = remembered.get(digest);
      if (verified === undefined) return undefined;
      const { keys } = verified.issuer;
      if (verified.revision === keys.revision && now < verified.expiresMs && now - keys.freshMs <= maxStaleMs) {
        return now >= verified.notBeforeMs ? verified.caller : undefined;
      }
      remembered.delete(digest);
      return undefined;
    },
    verify(token, now) {
      if (token.length > LONGEST_TOKEN || !isToken(token)) return Promise.reject(invalidToken());
      const digest = hash('sha256', token, 'base64url');
      let result = running.get(digest);
      if (!result) {
        result = verify(token, digest, now).finally(() => running.delete(digest));
        running.set(digest, result);
      }
      return result;
    },
    async close() {
      await Promise.all([...keysByUri.values()].map((keys) => keys.close()));
    },
  };
};

/** Who says it made the token, and for whom: nothing is believed of it but which keys must prove it. */
const issuerOf = (token: string, issuers: readonly Issuer[]): Issuer => {
  let claims: { iss?: unknown; aud?: unknown };
  try {
    claims = decodeJwt(token);
  } catch (cause) {
    throw invalidToken(cause);
  }
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  const issuer = issuers.find(
    ({ settings }) => settings.issuer === claims.iss && audiences.includes(settings.audience),
  );
  if (!issuer) throw invalidToken('no configured issuer has this iss and aud');
  return issuer;
};

const verifyBy = async (issuer: Issuer, token: string, now: number, maxStaleMs: number): Promise<Verified> => {
  const { keys, settings } = issuer;
  if (keys.freshMs === 0) await keys.look();
  if (now - keys.freshMs > maxStaleMs) throw unavailable();
  try {
    return await verifyOnce(issuer, token, now);
  } catch (error) {
    if (codeOf(error) !== 'ERR_JWKS_NO_MATCHING_KEY') throw refusal(error);
  }
  // A key that is not known may be new. If the issuer cannot be asked, nobody can tell.
  const { revision } = keys;
  await keys.look();
  if (keys.revision !== revision) {
    try {
      return await verifyOnce(issuer, token, now);
    } catch (error) {
      throw refusal(error);
    }
  }
  throw keys.failing ? unavailable() : invalidToken(`no key of ${settings.issuer} matches`);
};

const verifyOnce = async (issuer: Issuer, token: string, now: number): Promise<Verified> => {
  const { keys, settings } = issuer;
  const { revision } = keys;
  const { payload } = await jwtVerify(token, keys.keyOf, {
    issuer: settings.issuer,
    audience: settings.audience,
    algorithms: [...issuer.algorithms],
    clockTolerance: SKEW_S,
    currentDate: new Date(now),
    requiredClaims: ['iss', 'aud', 'exp', 'sub'],
  });
  const { sub, exp, nbf } = payload;
  if (typeof sub !== 'string' || sub === '' || sub.length > LONGEST_SUBJECT) throw invalidToken('sub is no name');
  return {
    caller: issuer.callerOf(payload, idOf(settings.issuer, sub)),
    issuer,
    revision,
    notBeforeMs: ((nbf ?? 0) - SKEW_S) * 1000,
    expiresMs: ((exp as number) + SKEW_S) * 1000,
  };
};

/** The public id of whom the issuer calls `sub`: the same for each of its tokens, and no way back. */
const idOf = (issuer: string, sub: string): string => `jwt_${hash('sha256', `${issuer}\n${sub}`, 'hex').slice(0, 24)}`;

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code;

const unavailable = (): GatewayError =>
  new GatewayError('identity_unavailable', 'The keys of the token’s issuer cannot be had, so it cannot be verified.');

/** What jose throws has a code that starts with ERR_; of a token whose signature was good the reason may be told. */
const refusal = (error: unknown): GatewayError => {
  if (isGatewayError(error)) return error;
  if (codeOf(error) === 'ERR_JWT_EXPIRED') {
    return new GatewayError('invalid_credential', 'The token has expired.', { cause: error });
  }
  return invalidToken(error);
};

import { GatewayError } from '../errors.ts';
import { isToken, type TokenVerifier } from '../identity/token-verifier.ts';
import type { KeyStore } from '../store/key-store.ts';
import type { Input } from '../types.gen.ts';
import type { Head } from './receive.ts';

/** Whom a gateway can tell: by API keys, and by tokens of its issuers. */
export interface Identities {
  readonly keys: KeyStore;
  readonly tokens: TokenVerifier;
}

/** Every API key starts so; no token does. */
const KEY_PREFIX = 'aeg_';

/**
 * The caller behind a credential: at once for a key and for a token that was verified before, later for a new token.
 * Throws or rejects with GatewayError `missing_credential` or `invalid_credential` (which of unknown, revoked and expired
 * a key was is not told), and `identity_unavailable` when nobody can tell.
 */
export const authenticate = (
  { credential }: Pick<Head, 'credential'>,
  { keys, tokens }: Identities,
  now: number,
): Input['caller'] | Promise<Input['caller']> => {
  if (credential === null) {
    throw new GatewayError('missing_credential', 'No API key was sent.', {
      hint: 'Send it as Authorization: Bearer <key> or as x-api-key.',
    });
  }
  if (!credential.startsWith(KEY_PREFIX) && isToken(credential)) {
    return tokens.find(credential, now) ?? tokens.verify(credential, now);
  }
  const caller = keys.find(credential, now);
  if (!caller) throw new GatewayError('invalid_credential', 'The API key is unknown, revoked or expired.');
  return caller;
};

import { GatewayError } from '../errors.ts';
import type { KeyStore } from '../store/key-store.ts';
import type { Input } from '../types.gen.ts';
import type { Head } from './receive.ts';

/**
 * The caller behind a credential. Throws GatewayError `missing_credential` or `invalid_credential`; which of unknown,
 * revoked and expired it was is not told.
 */
export const authenticate = (head: Pick<Head, 'credential'>, keys: KeyStore, now: number): Input['caller'] => {
  if (head.credential === null) {
    throw new GatewayError('missing_credential', 'No API key was sent.', {
      hint: 'Send it as Authorization: Bearer <key> or as x-api-key.',
    });
  }
  const caller = keys.find(head.credential, now);
  if (!caller) throw new GatewayError('invalid_credential', 'The API key is unknown, revoked or expired.');
  return caller;
};

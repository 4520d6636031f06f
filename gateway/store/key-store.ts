import type { Input } from '../types.gen.ts';

/** The table of API keys in memory. Secrets are never in it: only HMAC digests. */
export interface KeyStore {
  /**
   * The caller of a key, or undefined for one that is unknown, revoked or expired. `now` in milliseconds. Throws
   * GatewayError `identity_unavailable` when nobody can tell any more.
   */
  find(secret: string, now: number): Input['caller'] | undefined;
}

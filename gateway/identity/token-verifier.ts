import { GatewayError } from '../errors.ts';
import type { Input } from '../types.gen.ts';

/** Tells who presents a token (a JWT of a configured issuer). Times are milliseconds since the epoch. */
export interface TokenVerifier {
  /** The caller of a token that was verified before and still holds, at no wait; undefined when it must be verified. */
  find(token: string, now: number): Input['caller'] | undefined;
  /**
   * The caller of a token. Rejects with GatewayError `invalid_credential`, and with `identity_unavailable` when the
   * issuer's keys cannot be had, so that nobody can tell.
   */
  verify(token: string, now: number): Promise<Input['caller']>;
  /** Stops looking for new keys. */
  close(): Promise<void>;
}

/** A token in its compact form: header, payload and signature. */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** Whether a credential has the shape of a token; says nothing about who made it. */
export const isToken = (credential: string): boolean => TOKEN.test(credential);

/** What is said of a token that proves nothing: no more than that. */
export const invalidToken = (cause?: unknown): GatewayError =>
  new GatewayError('invalid_credential', 'The token is not valid here.', { cause });

/** The verifier of a gateway that takes no tokens. */
export const NO_TOKENS: TokenVerifier = {
  find: () => undefined,
  verify: () => Promise.reject(invalidToken()),
  close: () => Promise.resolve(),
};

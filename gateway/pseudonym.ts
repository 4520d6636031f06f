import { createHmacSha256 } from './hmac.ts';

/** Bytes of a pseudonym: two users of one organisation never share one. */
const BYTES = 16;

/**
 * Names for users whose own must not be kept: a keyed hash, the same at every gateway that has the key. The key is the
 * pepper of the API keys; the prefix keeps the two uses apart.
 */
export const createPseudonyms = (pepper: Uint8Array): ((org: string, name: string) => string) => {
  const hmac = createHmacSha256(Buffer.from(pepper));
  return (org, name) => `hash:${hmac(`end user\n${org}\n${name.toWellFormed()}`).toString('hex', 0, BYTES)}`;
};

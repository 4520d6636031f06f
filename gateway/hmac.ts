import { hash } from 'node:crypto';

/** SHA-256's block. */
const BLOCK = 64;

const pad = (key: Buffer, byte: number): Buffer => {
  const padded = Buffer.alloc(BLOCK, byte);
  for (let index = 0; index < key.length; index++) padded[index]! ^= key[index]!;
  return padded;
};

/**
 * A keyed HMAC-SHA256 (RFC 2104) of bytes, or of a text's UTF-8. The same digests as `createHmac`, at a quarter of its cost: what
 * a request hashes is short, and there making the stream object is most of the work.
 */
export const createHmacSha256 = (secret: Buffer): ((data: string | Uint8Array) => Buffer) => {
  const key = secret.length > BLOCK ? hash('sha256', secret, 'buffer') : secret;
  const inner = pad(key, 0x36);
  const outer = pad(key, 0x5c);
  return (data) =>
    hash(
      'sha256',
      Buffer.concat([
        outer,
        hash('sha256', Buffer.concat([inner, typeof data === 'string' ? Buffer.from(data) : data]), 'buffer'),
      ]),
      'buffer',
    );
};

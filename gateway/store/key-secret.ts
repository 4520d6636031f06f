import { createHmac, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const PREFIX = 'aeg_live_';
/** A token that is used once, see bootstrap.ts; as long as a key. */
const ONCE_PREFIX = 'aeg_once_';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 32 bytes in base 62. */
const RANDOM_CHARS = 43;
/** A CRC-32 in base 62. */
const CHECK_CHARS = 6;
const SECRET_CHARS = PREFIX.length + RANDOM_CHARS + CHECK_CHARS;

/** How much of a secret is kept in clear, so that a person recognises the key: six of its 43 random characters. */
export const DISPLAY_CHARS = PREFIX.length + 6;

/** A new API key: 256 random bits and a checksum that tells a typo from a key that does not exist. */
export const createSecret = (): string => secretOf(PREFIX);

/** A new one-time token, made like a key. */
export const createOnceToken = (): string => secretOf(ONCE_PREFIX);

const secretOf = (prefix: string): string => {
  const random = prefix + base62(BigInt(`0x${randomBytes(32).toString('hex')}`), RANDOM_CHARS);
  return random + checksum(random);
};

/** Whether a text has the shape and the checksum of a secret; says nothing about whether the key exists. */
export const isSecret = (text: string): boolean =>
  text.length === SECRET_CHARS && text.startsWith(PREFIX) && text.endsWith(checksum(text.slice(0, -CHECK_CHARS)));

/** What is stored of a secret: its HMAC-SHA256 under the pepper, base64url. */
export const digestOf = (secret: string, pepper: Uint8Array): string =>
  createHmac('sha256', pepper).update(secret).digest('base64url');

const checksum = (text: string): string => base62(BigInt(crc32(text)), CHECK_CHARS);

const base62 = (value: bigint, length: number): string => {
  let digits = '';
  for (let rest = value; rest > 0n; rest /= 62n) digits = BASE62[Number(rest % 62n)] + digits;
  return digits.padStart(length, '0');
};

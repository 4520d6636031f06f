import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * A frame of the chain: `crc32 u32 | length u32 | chain 32 bytes | payload`, integers big-endian. `chain` is
 * SHA-256(chain of the frame before ‖ payload) and thereby covers the payload; the CRC covers length and chain, so that
 * a damaged length is damage and never looks like a frame that was cut short.
 */
export const HEADER_BYTES = 40;

/** The largest payload of a frame. A record is bounded by its input and decision, far below. */
export const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;

/** The chain hash before the first record. */
export const GENESIS: Buffer = Buffer.alloc(32);

const LENGTH_AT = 4;
const CHAIN_AT = 8;

/**
 * Writes the header of the frame at `start`, whose payload of `length` bytes already lies behind it. Gives the chain
 * hash. The previous hash is put in the header's own slot first: hash and payload then lie side by side and are hashed
 * in one call without a copy.
 */
export const sealFrame = (bytes: Buffer, start: number, length: number, previous: Buffer): Buffer => {
  const chain = chainHash(bytes, start, length, previous);
  chain.copy(bytes, start + CHAIN_AT);
  bytes.writeUInt32BE(length, start + LENGTH_AT);
  bytes.writeUInt32BE(crc32(bytes.subarray(start + LENGTH_AT, start + HEADER_BYTES)), start);
  return chain;
};

const chainHash = (bytes: Buffer, start: number, length: number, previous: Buffer): Buffer => {
  previous.copy(bytes, start + CHAIN_AT);
  return hash('sha256', bytes.subarray(start + CHAIN_AT, start + HEADER_BYTES + length), 'buffer');
};

/** A frame whose checks passed. `payload` is a view. */
export interface Frame {
  readonly payload: Buffer;
  readonly chain: Buffer;
  /** Where the next frame starts in the buffer. */
  readonly end: number;
}

/** A frame that is not all there yet. */
export interface PartialFrame {
  /** How many bytes from its start are needed to go on. */
  readonly needBytes: number;
}

/** A frame that is there and is wrong. */
export interface BadFrame {
  readonly fault: 'header checksum' | 'length' | 'chain hash';
}

/** Reads the frame at `start` of a buffer that is filled up to `end`. The header's hash in the buffer is overwritten. */
export const readFrame = (
  bytes: Buffer,
  start: number,
  end: number,
  previous: Buffer,
): Frame | PartialFrame | BadFrame => {
  if (end - start < HEADER_BYTES) return { needBytes: HEADER_BYTES };
  const length = frameLength(bytes, start);
  if (length === undefined) return { fault: 'header checksum' };
  if (length > MAX_PAYLOAD_BYTES) return { fault: 'length' };
  const frameEnd = start + HEADER_BYTES + length;
  if (frameEnd > end) return { needBytes: HEADER_BYTES + length };
  const claimed = Buffer.from(bytes.subarray(start + CHAIN_AT, start + HEADER_BYTES));
  const chain = chainHash(bytes, start, length, previous);
  if (!chain.equals(claimed)) {
    claimed.copy(bytes, start + CHAIN_AT);
    return { fault: 'chain hash' };
  }
  return { payload: bytes.subarray(start + HEADER_BYTES, frameEnd), chain, end: frameEnd };
};

/** The payload's length as the header of the frame at `start` says; undefined when the header's checksum is wrong. */
export const frameLength = (bytes: Buffer, start: number): number | undefined =>
  crc32(bytes.subarray(start + LENGTH_AT, start + HEADER_BYTES)) === bytes.readUInt32BE(start)
    ? bytes.readUInt32BE(start + LENGTH_AT)
    : undefined;

const SECTOR_BYTES = 512;

/**
 * Whether a bad frame at the very end of the chain is a torn write: after a power loss a file may have its full length
 * while its last sectors were never written and read as zeros. `rest` is the file from the bad frame on, `fileOffset`
 * where that is. A record never ends in a zero byte, so whole sectors of zeros are no record.
 */
export const isUnwrittenTail = (rest: Buffer, fileOffset: number): boolean => {
  let zerosFrom = rest.length;
  while (zerosFrom > 0 && rest[zerosFrom - 1] === 0) zerosFrom--;
  if (zerosFrom === rest.length) return false;
  if (zerosFrom === 0 || rest.length < HEADER_BYTES) return true;
  const sector = Math.ceil((fileOffset + zerosFrom) / SECTOR_BYTES) * SECTOR_BYTES;
  return sector < fileOffset + rest.length && longestFrame(rest) > zerosFrom;
};

/** How far the frame at the start of `rest` reaches at most: zeros behind a whole, wrong frame do not make it torn. */
const longestFrame = (rest: Buffer): number => {
  const length = frameLength(rest, 0);
  return length === undefined ? HEADER_BYTES : HEADER_BYTES + length;
};

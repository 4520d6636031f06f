import { gunzipSync } from 'node:zlib';
import type { Dispatcher } from 'undici';

/** Headers that ask for a file only if it is another than the one that came with them. */
export type Validator = Readonly<Record<string, string>>;

type Headers = Dispatcher.ResponseData['headers'];

/** What to ask with next time; undefined where the answer cannot be known again, or its end was not told. */
export const validatorOf = (headers: Headers): Validator | undefined => {
  // A body without either ends with its connection: one that was cut off looks whole.
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return undefined;
  const { etag, 'last-modified': modified, date } = headers;
  if (typeof etag === 'string') return { 'if-none-match': etag };
  // It has seconds only: within the same one the file may change once more (RFC 9110, 8.8.2.2).
  if (typeof modified === 'string' && Date.parse(String(date)) - Date.parse(modified) >= 2_000) {
    return { 'if-modified-since': modified };
  }
  return undefined;
};

/** Reads the file that an answer of status 200 carries. Rejects with an Error that `describeFailure` understands. */
export const fileOf = async (answer: Dispatcher.ResponseData, name: string, limitBytes: number): Promise<Buffer> =>
  decode(name, await readBody(answer, limitBytes), answer.headers, limitBytes);

class TooLarge extends Error {}

const readBody = async ({ headers, body }: Dispatcher.ResponseData, limitBytes: number): Promise<Buffer> => {
  const refuse = (): never => {
    body.on('error', () => {}).destroy();
    throw new TooLarge(`larger than ${limitBytes} bytes`);
  };
  if (Number(headers['content-length']) > limitBytes) refuse();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limitBytes) refuse();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

/**
 * Servers that know the ending .gz may call a bundle's own compression an encoding of the transfer: where what is inside is
 * no gzip file, the bytes were the bundle already.
 */
const decode = (name: string, bytes: Buffer, headers: Headers, limitBytes: number): Buffer => {
  const encoding = String(headers['content-encoding'] ?? 'identity').toLowerCase();
  if (encoding === 'identity' || encoding === '') return bytes;
  if (encoding !== 'gzip' && encoding !== 'x-gzip') {
    throw passing(`its answer has the encoding ${encoding.slice(0, 32)}, which was not asked for`, 'HTTP_ENCODING');
  }
  let inside: Buffer;
  try {
    inside = gunzipSync(bytes, { maxOutputLength: limitBytes });
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new TooLarge(`larger than ${limitBytes} bytes when unpacked`);
    }
    throw passing('its answer says it is gzip, and is not', 'HTTP_ENCODING');
  }
  const isBundle = name === '' || name.endsWith('.gz');
  return isBundle && !isGzip(inside) ? bytes : inside;
};

const isGzip = (bytes: Buffer): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** The error for a status that is neither 200 nor an expected 304. */
export const wrongStatus = (status: number): Error => passing(whyStatus(status), `HTTP_${status}`);

const whyStatus = (status: number): string => {
  if (status >= 300 && status < 400 && status !== 304) {
    return `its answer is a redirect (${status}), which is not followed: name the address it leads to`;
  }
  if (status === 401 || status === 403) return `the server refuses access (${status}): look at bundles.token`;
  if (status === 404) return 'the server has no such file (404)';
  return `its answer has the status ${status}`;
};

/** An error of the server or the network: it may be over the next time. */
const passing = (message: string, code: string): Error => Object.assign(new Error(message), { code });

/**
 * What went wrong, with the address. Of an error that is not our own only the code is told, so that the same failure is
 * the same sentence, and no header can be in it. It has a `code` unless the file is too large.
 */
export const describeFailure = (place: string, error: unknown): Error => {
  if (error instanceof TooLarge) return new Error(`${place}: ${error.message}`);
  const { code, message, name } = (error ?? {}) as { code?: unknown; message?: unknown; name?: unknown };
  if (typeof code === 'string' && code.startsWith('HTTP_')) return passing(`${place}: ${String(message)}`, code);
  if (name === 'TimeoutError' || (typeof code === 'string' && /TIMEOUT|TIMEDOUT/.test(code))) {
    return passing(`${place}: the server is too slow, or cannot be reached`, 'HTTP_TIMEOUT');
  }
  const reason = typeof code === 'string' ? code : 'unknown';
  return passing(`${place}: cannot be read from the server: ${reason}`, reason);
};

import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import type { Json } from '../protocol/fields.ts';
import { type JsonScan, scanJson } from '../protocol/json-scan.ts';
import type { Call, Endpoint } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';

/** Bounds of a body. */
export interface ReadLimits {
  readonly bodyBytes: number;
  /** Deepest nesting. */
  readonly depth: number;
  /** Until the body is whole; the default is half a minute. */
  readonly bodyTimeoutMs?: number;
}

/** What `read` needs of the head. */
export interface ReadHead {
  readonly endpoint: Endpoint;
  readonly contentLength: number | null;
}

const BODY_TIMEOUT_MS = 30_000;

/**
 * Reads the body into a call. Throws GatewayError `body_too_large` before anything beyond the bound is kept,
 * `request_timeout`, `client_closed_request`, and all that parseCall throws.
 */
export const read = async (req: IncomingMessage, head: ReadHead, limits: ReadLimits): Promise<Call> => {
  checkLength(head, limits);
  return parseCall(await readBody(req, limits), head.endpoint, limits);
};

/** Reads a body that is no call of a model. Throws GatewayError as `read`, but for what a protocol throws. */
export const readJson = async (
  req: IncomingMessage,
  head: Pick<ReadHead, 'contentLength'>,
  limits: ReadLimits,
): Promise<Record<string, unknown>> => {
  checkLength(head, limits);
  return scanned(await readBody(req, limits), limits).body;
};

const checkLength = ({ contentLength }: Pick<ReadHead, 'contentLength'>, limits: ReadLimits): void => {
  if (contentLength !== null && contentLength > limits.bodyBytes) throw tooLarge(limits);
};

/** A body as a call of its endpoint. Pure. Throws GatewayError as scanJson and Protocol.read do, and `invalid_json`. */
export const parseCall = (raw: Buffer, endpoint: Endpoint, limits: Pick<ReadLimits, 'depth'>): Call => {
  const { scan, body } = scanned(raw, limits);
  return protocolOf(endpoint).read(raw, scan, body);
};

const scanned = (raw: Buffer, { depth }: Pick<ReadLimits, 'depth'>): { scan: JsonScan; body: Json } => {
  if (!isUtf8(raw)) throw new GatewayError('invalid_unicode', 'The body is not valid UTF-8.');
  const scan = scanJson(raw, { maxDepth: depth });
  return { scan, body: parse(raw) };
};

const parse = (raw: Buffer): Record<string, unknown> => {
  try {
    return JSON.parse(raw.toString('utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw new GatewayError('invalid_json', 'The body is not valid JSON.', { cause });
  }
};

const tooLarge = ({ bodyBytes }: Pick<ReadLimits, 'bodyBytes'>): GatewayError =>
  new GatewayError('body_too_large', `The body is larger than ${bodyBytes} bytes.`);

/** The bytes of a body. Rejects with GatewayError `body_too_large`, `request_timeout`, `client_closed_request`. */
export const readBody = (
  req: IncomingMessage,
  limits: Pick<ReadLimits, 'bodyBytes' | 'bodyTimeoutMs'>,
): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      req.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
      finish();
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= limits.bodyBytes) {
        chunks.push(chunk);
        return;
      }
      req.pause();
      settle(() => reject(tooLarge(limits)));
    };
    const onEnd = (): void => settle(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size)));
    const onGone = (): void =>
      settle(() => reject(new GatewayError('client_closed_request', 'The caller left before its body was whole.')));
    const timer = setTimeout(() => {
      req.pause();
      settle(() => reject(new GatewayError('request_timeout', 'The body took too long to arrive.')));
    }, limits.bodyTimeoutMs ?? BODY_TIMEOUT_MS);
    timer.unref();
    if (req.destroyed && !req.readableEnded) {
      onGone();
      return;
    }
    req.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
  });

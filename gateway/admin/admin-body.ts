import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import { scanJson } from '../protocol/json-scan.ts';
import type { SchemaError } from '../schema.ts';
import { readBody } from '../stages/read.ts';
import type { AdminRoute } from './admin-routes.ts';

const MOST_BYTES = 65_536;
const MOST_DEPTH = 8;
const TIMEOUT_MS = 10_000;
const JSON_TYPE = /^application\/json\s*(?:;\s*charset="?utf-?8"?\s*)?;?$/i;

/**
 * The body of a request, checked by the route's schema; undefined where the route has none or it is left out. Throws
 * GatewayError `unsupported_media_type`, what readBody and scanJson throw, and `invalid_field` with `param`.
 */
export const readAdminBody = async (
  req: IncomingMessage,
  { body: validate, isBodyOptional }: AdminRoute,
  headers: ReadonlyMap<string, string>,
): Promise<unknown> => {
  if (!validate) return undefined;
  const raw = await readBody(req, { bodyBytes: MOST_BYTES, bodyTimeoutMs: TIMEOUT_MS });
  if (raw.length === 0 && isBodyOptional) return undefined;
  if (!JSON_TYPE.test(headers.get('content-type') ?? '') || headers.has('content-encoding')) {
    throw new GatewayError('unsupported_media_type', 'The body must be application/json in UTF-8.');
  }
  if (!isUtf8(raw)) throw new GatewayError('invalid_unicode', 'The body is not valid UTF-8.');
  scanJson(raw, { maxDepth: MOST_DEPTH });
  const body: unknown = JSON.parse(raw.toString('utf8'));
  if (!validate(body)) throw wrong(validate.errors?.[0]);
  return body;
};

const wrong = (error: SchemaError | undefined): GatewayError => {
  const at = error?.instancePath.slice(1).replaceAll('/', '.') ?? '';
  const { additionalProperty, missingProperty } = (error?.params ?? {}) as Record<string, string | undefined>;
  const name = additionalProperty ?? missingProperty;
  const param = [at, name?.slice(0, 64)].filter(Boolean).join('.');
  const what = additionalProperty === undefined ? (error?.message ?? 'is not valid') : 'is not known';
  const message = missingProperty === undefined ? `${param || 'The body'} ${what}.` : `${param} is missing.`;
  return new GatewayError('invalid_field', message, param === '' ? {} : { param });
};

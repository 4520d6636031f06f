import { GatewayError } from '../errors.ts';

/** Headers of which a second one would be read differently by someone. */
const SINGLE = new Set([
  'host',
  'authorization',
  'x-api-key',
  'content-type',
  'content-length',
  'content-encoding',
  'transfer-encoding',
  'x-aegis-workflow',
  'x-aegis-use-case',
  'x-aegis-session',
  'x-aegis-tags',
  'x-aegis-user',
]);

/**
 * Header lines by lower-case name, from the raw list: Node's own map hides repetitions. Throws GatewayError
 * `duplicate_credential` or `invalid_header`.
 */
export const collectHeaders = (raw: readonly string[]): Map<string, string> => {
  const headers = new Map<string, string>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const value = raw[at + 1]!;
    const before = headers.get(name);
    if (before === undefined) headers.set(name, value);
    else if (SINGLE.has(name)) throw repeated(name);
    else headers.set(name, `${before}, ${value}`);
  }
  return headers;
};

const repeated = (name: string): GatewayError =>
  name === 'authorization' || name === 'x-api-key'
    ? new GatewayError('duplicate_credential', `The header ${name} was sent twice.`)
    : new GatewayError('invalid_header', `The header ${name} was sent twice.`, { param: name });

/**
 * A name or address with an optional port. HTTP/1.1 asks for one (RFC 9112); without it there is nothing to mistake.
 */
const HOST = /^(?:[\w-]{1,63}(?:\.[\w-]{1,63})*\.?|\[[\da-fA-F:.]{2,45}\])(?::\d{1,5})?$/;

/** Throws GatewayError `invalid_header` unless the host is one. */
export const checkHost = (host: string | undefined, httpVersion: string | undefined): void => {
  if (host === undefined ? httpVersion !== '1.1' : host.length <= 255 && HOST.test(host)) return;
  throw new GatewayError('invalid_header', 'The header host is not a host and port.', { param: 'host' });
};

const LONGEST_CREDENTIAL = 8192;
const BEARER = /^bearer +([\x21-\x7e]+) *$/i;

/** The secret as sent, null when none was. Throws GatewayError `duplicate_credential` or `invalid_credential`. */
export const credentialOf = (headers: ReadonlyMap<string, string>): string | null => {
  const authorization = headers.get('authorization');
  const apiKey = headers.get('x-api-key');
  if (authorization !== undefined && apiKey !== undefined) {
    throw new GatewayError('duplicate_credential', 'Both authorization and x-api-key were sent.', {
      hint: 'Send one of the two.',
    });
  }
  if (authorization === undefined && apiKey === undefined) return null;
  const secret = authorization === undefined ? apiKey : BEARER.exec(authorization)?.[1];
  if (secret === undefined || secret === '' || secret.length > LONGEST_CREDENTIAL || !/^[\x21-\x7e]+$/.test(secret)) {
    throw new GatewayError('invalid_credential', 'The credential is not well formed.', {
      hint: 'Send it as Authorization: Bearer <key> or as x-api-key.',
    });
  }
  return secret;
};

import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { Agent, request } from 'undici';

/** What an issuer's keys say in the log. */
export interface IdentityLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface IssuerKeysOptions {
  /** Between two looks at an issuer that answers. */
  readonly refreshMs: number;
  /** A token with a key that is not known makes at most one look in this time. */
  readonly cooldownMs: number;
  /** Until an answer is whole. */
  readonly timeoutMs: number;
  readonly logger?: IdentityLogger;
}

/** The public keys of one issuer. They are kept while it cannot be asked. */
export interface IssuerKeys {
  /** Finds the key of a token's header. Rejects with jose's errors, `ERR_JWKS_NO_MATCHING_KEY` among them. */
  readonly keyOf: JWTVerifyGetKey;
  /** Changes when the keys do: what was verified by the old ones must be verified again. */
  readonly revision: number;
  /** When the issuer said last what its keys are, milliseconds since the epoch; 0 when it never did. */
  readonly freshMs: number;
  /** Whether the last look failed. */
  readonly failing: boolean;
  /** Looks now, unless it looked within the cool-down; resolves when it is known what came of it. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/** Twenty keys of 4,096 bits with certificates are 100 KB. */
const MAX_BYTES = 512 * 1024;
const MAX_KEYS = 64;
const FIRST_RETRY_MS = 1_000;

/**
 * Opens the keys at `uri`: fetched at once and again every `refreshMs`, from that address alone (redirects are not
 * followed); after a failure again after 1 s, 2 s, … up to `refreshMs`. Never rejects: an issuer that is down at the start
 * may come up.
 */
export const openIssuerKeys = (uri: string, options: IssuerKeysOptions): IssuerKeys => {
  const { refreshMs, cooldownMs, timeoutMs, logger } = options;
  const agent = new Agent({ connections: 1, pipelining: 1 });
  const closing = new AbortController();
  let keySet: JWTVerifyGetKey = () => Promise.reject(new errors.JWKSNoMatchingKey());
  let text = '';
  let revision = 0;
  let freshMs = 0;
  let failing = false;
  let retryMs = FIRST_RETRY_MS;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const fetchNow = async (): Promise<void> => {
    clearTimeout(timer);
    lookedAt = performance.now();
    const startedMs = Date.now();
    try {
      const found = await fetchKeySet(uri, agent, AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs)]));
      // Written anew from the parsed keys: white space is no change.
      const next = JSON.stringify(found);
      if (next !== text) {
        keySet = createLocalJWKSet(found);
        text = next;
        revision += 1;
      }
      freshMs = startedMs;
      retryMs = FIRST_RETRY_MS;
      if (failing) logger?.info({ jwks_uri: uri }, 'the keys of an issuer can be had again');
      failing = false;
    } catch (error) {
      if (closing.signal.aborted) return;
      if (!failing) logger?.warn({ jwks_uri: uri, cause: String(error) }, 'the keys of an issuer cannot be had');
      failing = true;
    }
    const pauseMs = failing ? Math.min(retryMs, refreshMs) : refreshMs;
    if (failing) retryMs *= 2;
    timer = setTimeout(() => void fetchOnce(), pauseMs);
    timer.unref();
  };
  const fetchOnce = (): Promise<void> => {
    running ??= fetchNow().finally(() => {
      running = undefined;
    });
    return running;
  };
  void fetchOnce();

  return {
    keyOf: (header, token) => keySet(header, token),
    get revision() {
      return revision;
    },
    get freshMs() {
      return freshMs;
    },
    get failing() {
      return failing;
    },
    look() {
      if (running) return running;
      if (performance.now() - lookedAt < cooldownMs) return Promise.resolve();
      return fetchOnce();
    },
    async close() {
      closing.abort();
      clearTimeout(timer);
      await running;
      await agent.destroy();
    },
  };
};

/** Throws when the answer is not 200, too large, or no key set. */
const fetchKeySet = async (uri: string, dispatcher: Agent, signal: AbortSignal): Promise<JSONWebKeySet> => {
  const headers = { accept: 'application/json', 'accept-encoding': 'identity' };
  const { statusCode, body } = await request(uri, { dispatcher, signal, headers });
  if (statusCode !== 200) {
    body.on('error', () => {}).destroy();
    throw new Error(`its answer has the status ${statusCode}`);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error(`its answer is larger than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  const found = JSON.parse(Buffer.concat(chunks).toString('utf8')) as JSONWebKeySet;
  if (!Array.isArray(found?.keys) || found.keys.length > MAX_KEYS) throw new Error('its answer is no set of keys');
  createLocalJWKSet(found); // throws for one that is malformed
  return { keys: found.keys };
};

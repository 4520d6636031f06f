import { Agent, request } from 'undici';
import { describeFailure, fileOf, type Validator, validatorOf, wrongStatus } from './http-answer.ts';
import type { BundleOrigin } from './origin.ts';

export interface HttpOriginOptions {
  /** Ends its path in a slash: a folder with rollout.yaml and bundles; else it is the one bundle. */
  readonly url: string;
  /** Sent as `Authorization: Bearer` to that server alone. Empty: nothing is sent. */
  readonly token: string;
  /** Between two looks at a server that answers. After a failure the pause doubles, up to 30 s. */
  readonly pollMs: number;
  readonly timeouts?: Partial<HttpTimeouts>;
}

/** Milliseconds. */
export interface HttpTimeouts {
  readonly connect: number;
  /** Until the answer begins, and between two of its chunks. */
  readonly idle: number;
  /** Until it is whole. */
  readonly whole: number;
}

const TIMEOUTS: HttpTimeouts = { connect: 3_000, idle: 10_000, whole: 30_000 };
const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;
/** Gateways that were started together do not ask together for ever. */
const JITTER = 0.1;
/** After this a file is read anew whatever its ETag: what a cache or a server mixed up does not last. */
const WHOLE_AGAIN_MS = 300_000;
/** rollout.yaml, two bundles, and one that is just replaced. */
const MAX_KEPT = 4;

/** A body and what its answer said it can be known by. They came together and are kept together. */
interface Kept {
  readonly body: Buffer;
  readonly validator: Validator;
  readonly atMs: number;
}

/**
 * Bundles on a server: any that serves files, best with ETags, or a bundle server of OPA. A file that did not change is not
 * sent again (304). Redirects are not followed, and no proxy of the environment is used: what is asked is what the config
 * names. All failures of a read are passing, but for a file that is too large.
 */
export const createHttpOrigin = ({ url, token, pollMs, timeouts }: HttpOriginOptions): BundleOrigin => {
  const { connect, idle, whole } = { ...TIMEOUTS, ...timeouts };
  const agent = new Agent({ connections: 2, connect: { timeout: connect }, headersTimeout: idle, bodyTimeout: idle });
  const closing = new AbortController();
  const base = new URL(url);
  const kept = new Map<string, Kept>();
  let failed = false;

  const fetchFile = async (name: string, limitBytes: number): Promise<Buffer> => {
    const target = name === '' ? base : new URL(name, base);
    const known = kept.get(name);
    const validator = known !== undefined && Date.now() - known.atMs < WHOLE_AGAIN_MS ? known.validator : {};
    const answer = await request(target, {
      dispatcher: agent,
      signal: AbortSignal.any([closing.signal, AbortSignal.timeout(whole)]),
      headers: {
        accept: 'application/gzip, application/yaml, */*;q=0.5',
        'accept-encoding': 'identity',
        ...(token !== '' && { authorization: `Bearer ${token}` }),
        ...validator,
      },
    });
    if (answer.statusCode === 304 && known !== undefined && validator === known.validator) {
      await answer.body.dump();
      keep(name, known);
      return known.body;
    }
    if (answer.statusCode !== 200) {
      answer.body.on('error', () => {}).destroy();
      throw wrongStatus(answer.statusCode);
    }
    const body = await fileOf(answer, name, limitBytes);
    const next = validatorOf(answer.headers);
    if (next === undefined) kept.delete(name);
    else keep(name, { body, validator: next, atMs: Date.now() });
    return body;
  };

  const keep = (name: string, file: Kept): void => {
    kept.delete(name);
    kept.set(name, file);
    for (const oldest of kept.keys()) {
      if (kept.size <= MAX_KEPT) break;
      kept.delete(oldest);
    }
  };

  const place = `${base.origin}${base.pathname}`; // a query may hold a secret
  return {
    place,
    hasRollout: base.pathname.endsWith('/'),
    async read(name, limitBytes) {
      try {
        return await fetchFile(name, limitBytes);
      } catch (error) {
        failed = true;
        throw describeFailure(`${place}${name}`, error);
      }
    },
    follow(look) {
      let pauseMs = 0;
      let timer: NodeJS.Timeout;
      const wait = (): void => {
        pauseMs = failed ? Math.min(Math.max(pauseMs * 2, FIRST_PAUSE_MS), MAX_PAUSE_MS) : 0;
        const untilMs = Math.max(pauseMs, pollMs) * (1 - JITTER + 2 * JITTER * Math.random());
        timer = setTimeout(async () => {
          failed = false;
          await look();
          if (!closing.signal.aborted) wait();
        }, untilMs).unref();
      };
      wait();
      return {
        close: () => {
          closing.abort();
          clearTimeout(timer);
          void agent.destroy();
        },
      };
    },
  };
};

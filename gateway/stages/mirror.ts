import type { Exchange } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import { askMirror, type MirrorEnd, mirrorExchange } from './ask-mirror.ts';

/** Mirrors under way at a time, of all upstreams. */
export const MOST_UNDER_WAY = 8;
/** Requests that wait to be mirrored, and the bytes of their bodies: each keeps its call in memory. */
export const MOST_WAITING = 64;
export const MOST_WAITING_BYTES = 16 * 1024 * 1024;

/** Lets the models that decisions name as mirrors answer too, behind the callers' backs and after their answers. */
export interface Mirrors {
  /**
   * Takes a request that is over and off the wire. One that was answered, and whose decision has a mirror, waits its turn;
   * where too many wait, or the gateway is stopping, it is dropped and counted. Never throws, and never waits.
   */
  offer(x: Exchange): void;
  /** Those under way: a stop waits for them as it does for requests. */
  readonly open: ReadonlySet<Exchange>;
  readonly waiting: number;
}

/** Creates the queue of mirrors of a gateway. */
export const createMirrors = (gw: Gateway): Mirrors => {
  const waiting: Exchange[] = [];
  const open = new Set<Exchange>();
  let waitingBytes = 0;
  /** What was told of which mirror: once is enough for a log, the metric counts. */
  const told = new Set<string>();

  const count = (x: Exchange, { result, reason }: MirrorEnd): void => {
    gw.telemetry.count('aegis.mirrors', { result, reason: reason ?? null });
    if (reason === undefined || reason === 'busy' || told.size > MOST_TOLD) return;
    const mirror = x.products.decision?.route.mirror?.id;
    const sentence = `${mirror} ${reason}`;
    if (told.has(sentence)) return;
    told.add(sentence);
    gw.log.warn({ ...x.names, mirror, reason }, 'a request was not mirrored, for a reason that others will have too');
  };

  const begin = async (x: Exchange): Promise<void> => {
    let m: Exchange | undefined;
    try {
      m = mirrorExchange(x);
      open.add(m);
      // Whoever is being answered comes first.
      await new Promise((resolve) => setImmediate(resolve));
      count(x, await askMirror(gw, x, m));
    } catch (error) {
      gw.log.error({ ...(m ?? x).names, cause: String(error) }, 'a mirror failed');
      count(x, { result: 'failed' });
    } finally {
      if (m) open.delete(m);
      next();
    }
  };

  const next = (): void => {
    while (open.size < MOST_UNDER_WAY) {
      const x = waiting.shift();
      if (!x) return;
      waitingBytes -= sizeOf(x);
      if (gw.isDraining()) count(x, { result: 'dropped' });
      else void begin(x);
    }
  };

  return {
    offer(x) {
      if (x.outcome !== 'ok' || !x.products.decision?.route.mirror) return;
      if (gw.isDraining() || waiting.length >= MOST_WAITING || waitingBytes + sizeOf(x) > MOST_WAITING_BYTES) {
        count(x, { result: 'dropped' });
        return;
      }
      // Both hold the whole answer, which the caller has and a mirror needs nothing of: it would wait along.
      x.evidence = null;
      x.onAbort = undefined;
      waiting.push(x);
      waitingBytes += sizeOf(x);
      next();
    },
    open,
    get waiting() {
      return waiting.length;
    },
  };
};

/** A mirror has a handful of reasons, and a policy sixteen mirrors; revisions come and go. */
const MOST_TOLD = 256;

const sizeOf = ({ products: { call } }: Exchange): number => call?.raw.length ?? 0;

import type { ResponseHeaders, Upstream, UpstreamFailure, UpstreamFlow } from '../../gateway/upstream/upstream.ts';

/** What one request got, and the events in their order. */
export interface Collected {
  status: number | null;
  headers: ResponseHeaders;
  body: string;
  failure: UpstreamFailure | null;
  cause: unknown;
  readonly events: string[];
}

export interface Collecting extends Collected {
  readonly flow: UpstreamFlow;
  /** Resolves at the end or the failure. */
  readonly done: Promise<Collected>;
  /** Resolves when the head has come, or the end. */
  readonly head: Promise<void>;
}

/** Sends a request and gathers its answer. Throws when an event comes after the end. */
export const collectAnswer = (
  upstream: Upstream,
  request: { path?: string; body?: string; headers?: Record<string, string>; isAside?: boolean } = {},
  onData?: (chunk: Buffer, flow: UpstreamFlow) => void,
): Collecting => {
  const got: Collected = { status: null, headers: {}, body: '', failure: null, cause: undefined, events: [] };
  const end = Promise.withResolvers<Collected>();
  const head = Promise.withResolvers<void>();
  const note = (event: string): void => {
    if (got.events.includes('end') || got.events.includes('error')) end.reject(new Error(`${event} after the end`));
    if (event !== 'data' || got.events.at(-1) !== 'data') got.events.push(event);
  };
  let sent = false;
  const flow = upstream.send(
    {
      wire: upstream.endpoints[0]!,
      path: request.path ?? '/chat/completions',
      headers: request.headers ?? {},
      body: Buffer.from(request.body ?? '{}'),
      ...(request.isAside === undefined ? {} : { isAside: request.isAside }),
    },
    {
      onHead: (status, headers) => {
        note('head');
        if (!sent) end.reject(new Error('head before send returned'));
        got.status = status;
        got.headers = headers;
        head.resolve();
      },
      onData: (chunk) => {
        note('data');
        got.body += chunk.toString('latin1');
        onData?.(chunk, flow);
      },
      onEnd: () => {
        note('end');
        head.resolve();
        end.resolve(got);
      },
      onError: (failure, cause) => {
        note('error');
        if (!sent) end.reject(new Error('error before send returned'));
        got.failure = failure;
        got.cause = cause;
        head.resolve();
        end.resolve(got);
      },
    },
  );
  sent = true;
  return Object.assign(got, { flow, done: end.promise, head: head.promise });
};

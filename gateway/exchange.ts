import { GatewayError } from './errors.ts';
import type { Permit } from './limit/limiter.ts';
import type { Policy } from './policy/policy.ts';
import type { Call } from './protocol/protocol.ts';
import type { Evidence } from './stages/account.ts';
import type { Described } from './stages/describe.ts';
import type { Ids } from './stages/ids.ts';
import type { Masked } from './stages/mask.ts';
import type { Head } from './stages/receive.ts';
import { Trace } from './trace.ts';
import type { Attempt, AuditOutcome, Decision, Input } from './types.gen.ts';

/** What each stage makes, by the name it is kept under. */
export interface Products {
  readonly head: Head;
  readonly caller: Input['caller'];
  readonly call: Call;
  readonly described: Pick<Described, 'input'>;
  readonly decision: Decision;
  readonly permit: Permit;
  readonly masked: Masked;
}

/** The stage that makes each product. */
const STAGE_OF = {
  head: 'receive',
  caller: 'authenticate',
  call: 'read',
  described: 'describe',
  decision: 'decide',
  permit: 'admit',
  masked: 'mask',
} as const;

/** What is timed, in the order of a request: `intent` is the audit's durable write. */
export type Stage = (typeof STAGE_OF)[keyof Products] | 'intent' | 'forward' | 'restore' | 'account';

/**
 * One request on its way: each stage's product and time, so that the record tells how far it came when a stage threw.
 * Products are kept once and never change.
 */
export class Exchange {
  readonly ids: Ids;
  /** The peer's address. */
  readonly address: string;
  readonly trace: Trace;
  /** The HTTP method as sent; empty for what never was a request. */
  method = '';
  readonly receivedAt: number = Date.now();
  readonly products: Partial<Products> = {};
  readonly attempts: Attempt[] = [];
  readonly stagesUs: Partial<Record<Stage, number>> = {};
  /** When the first event of a stream was there for the caller, milliseconds since the request came in. */
  firstEventMs: number | null = null;
  /** The policy that decides this request: taken once, so that one request sees one revision. */
  policy: Policy | undefined;
  /** What the call can cost at most, as it was reserved. */
  reservedMicroUsd = 0;
  /** Whether an intent is in the audit log, so that exactly one outcome must follow. */
  intended = false;
  /** Whether the outcome is in the audit log or on its way. */
  concluded = false;
  /** What is known of the work a provider did, from the head of its answer on. */
  evidence: Evidence | null = null;
  /** Whether the model declined to answer, as far as its answer has been read. */
  refused = false;
  /** How it ended, once that is in the audit log. */
  outcome: AuditOutcome['outcome'] | null = null;
  /** Of the copy of a request that a mirror is asked: the request's decision id. */
  mirrorOf: string | null = null;
  /** The caller has left. */
  aborted = false;
  /** The gateway did not wait any longer. */
  stopped = false;
  /** Stops what is under way upstream. */
  onAbort: (() => void) | undefined;
  readonly #started = performance.now();
  #mark = this.#started;

  constructor(ids: Ids, address: string, trace: Trace = new Trace()) {
    this.ids = ids;
    this.address = address;
    this.trace = trace;
  }

  /** The names under which a log line tells of this request. */
  get names(): { readonly request_id: string; readonly trace_id: string } {
    return { request_id: this.ids.requestId, trace_id: this.trace.traceId };
  }

  /** Keeps a stage's product and its time, and gives the product back. */
  keep<K extends keyof Products>(name: K, product: Products[K]): Products[K] {
    this.products[name] = product;
    this.time(STAGE_OF[name]);
    return product;
  }

  /** Books the time since the last stage on `stage`, microseconds. */
  time(stage: Stage): void {
    const now = performance.now();
    this.stagesUs[stage] = Math.round((now - this.#mark) * 1000);
    this.#mark = now;
  }

  /** Milliseconds since the request came in. */
  durationMs(): number {
    return Math.round((performance.now() - this.#started) * 1000) / 1000;
  }

  /** The caller left: stops the upstream call under way. */
  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    this.onAbort?.();
  }
  /** The gateway stops: ends the upstream call under way, and the caller is told. */
  stop(): void {
    this.stopped = true;
    this.onAbort?.();
  }
}

/** The error of a request that was under way when the gateway stopped waiting. */
export const stopping = (): GatewayError =>
  new GatewayError('shutting_down', 'The gateway is stopping; it could not wait for the end of this request.');

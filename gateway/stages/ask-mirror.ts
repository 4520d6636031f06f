import { accountOf, concludeMirror, contentOf } from '../conclude.ts';
import { GatewayError, isGatewayError } from '../errors.ts';
import { Exchange, stopping } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import { mirroredPurpose, mirrorSubject } from '../mirror-tag.ts';
import { type Ending, FREE, intentOf } from '../outcome.ts';
import type { Call } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';
import { Trace } from '../trace.ts';
import type { Decision, Mirror } from '../types.gen.ts';
import { failureError, isRelayable } from '../upstream/classify.ts';
import { costBound } from './admit.ts';
import { type Candidate, candidatesOf } from './candidates.ts';
import { type Answer, askAside } from './forward.ts';
import { newIds } from './ids.ts';
import type { Masked } from './mask.ts';
import { wayTo } from './outgoing.ts';
import { readWhole } from './read-whole.ts';

/** What became of a mirror. */
export interface MirrorEnd {
  readonly result: 'answered' | 'failed' | 'over_budget' | 'skipped' | 'dropped';
  /** Why it was skipped. */
  readonly reason?: 'content_not_kept' | 'server_tools' | 'cannot_be_asked' | 'busy';
}

/** No answer is waited for longer, however slowly it comes: it holds one of few places. */
const MOST_MS = 300_000;

/**
 * The exchange in which a mirror is asked what `x` was asked: a request of its own in the audit and in the ledger, of the
 * same caller, under the mirror's tag. Throws TypeError for a request that has no mirror.
 */
export const mirrorExchange = (x: Exchange): Exchange => {
  const { head, caller, call, described, decision } = x.products;
  const mirror = decision?.route.mirror;
  if (!head || !caller || !call || !described || !decision || !mirror || !x.policy)
    throw new TypeError('a mirror needs a request that was decided and sent');
  // The same trace, so that an operator's own upstream shows both; its spans are not exported.
  const trace = new Trace({ traceId: x.trace.traceId, spanId: x.trace.spanId, isSampled: false });
  const m = new Exchange(newIds(), x.address, trace);
  m.mirrorOf = x.ids.decisionId;
  m.method = x.method;
  m.policy = x.policy;
  Object.assign(m.products, {
    head: { ...head, ...m.ids, purpose: mirroredPurpose(head.purpose, mirror.id) },
    caller,
    call: { ...call, stream: false, includeUsage: false } satisfies Call,
    described,
    decision,
  });
  return m;
};

/**
 * Asks the mirror of `x` in `m`: admitted by the mirror's own budget, an intent before any byte goes upstream, one attempt,
 * one outcome. The caller's limits, the policies' measurements and the upstream's health hear nothing of it. Throws what the
 * limiter or the audit says; the permit is settled even then.
 */
export const askMirror = async (gw: Gateway, x: Exchange, m: Exchange): Promise<MirrorEnd> => {
  const { decision, call, described, masked: original } = x.products as Required<Exchange['products']>;
  const mirror = decision.route.mirror as Mirror;
  if (decision.audit.content === 'none') return { result: 'skipped', reason: 'content_not_kept' };
  // Whatever tools of the provider do would happen twice.
  if (call.serverTools) return { result: 'skipped', reason: 'server_tools' };
  const ready = prepare(gw, m, call, decision, original);
  if (!ready) return { result: 'skipped', reason: 'cannot_be_asked' };
  const { candidate, masked, policy } = ready;
  if (!candidate.upstream.hasRoom(candidate.upstreamModel)) return { result: 'skipped', reason: 'busy' };

  // A model without a price fits every cap.
  if (mirror.daily_micro_usd === 0) return { result: 'over_budget' };
  m.reservedMicroUsd = costBound(call, [candidate], gw.prices(policy), described.input.content);
  if (!(await admitMirror(gw, m, mirror))) return { result: 'over_budget' };
  m.keep('masked', masked);
  try {
    await gw.audit.append(intentOf(m), masked.content);
    m.intended = true;
    m.time('intent');
    if (m.stopped) throw stopping();
    gw.telemetry.count('aegis.mirrors', { result: 'asked', reason: null });
    return await finish(gw, m, candidate, masked);
  } catch (error) {
    await concludeMirror(gw, m, failed(gw, m, error));
    // Another request came between the look at the upstream and the attempt.
    const isBusy = m.attempts.at(-1)?.error === 'overloaded';
    return isBusy ? { result: 'skipped', reason: 'busy' } : { result: 'failed' };
  }
};

/** The model as a candidate, and the call as it is sent; undefined where it cannot be asked this. */
const prepare = (
  gw: Gateway,
  m: Exchange,
  call: Call,
  decision: Decision,
  original: Masked,
): { candidate: Candidate; masked: Masked; policy: NonNullable<Exchange['policy']> } | undefined => {
  const { policy } = m;
  const { mirror } = decision.route;
  if (!policy || !mirror || !protocolOf(call.endpoint).hasOutput) return undefined;
  try {
    const { model, upstream } = mirror;
    const route = { ...decision.route, candidates: [{ model, upstream }] };
    const [candidate] = candidatesOf(call, { ...decision, route }, policy.data, gw.upstreams);
    return candidate && { candidate, masked: original.aside(candidate), policy };
  } catch (error) {
    if (!isGatewayError(error)) throw error;
    return undefined;
  }
};

/** Takes what it may cost from the mirror's budget in the organisation, and from nobody else's. False where that is spent. */
const admitMirror = async (gw: Gateway, m: Exchange, mirror: Mirror): Promise<boolean> => {
  const { org } = m.products.caller!;
  const demand = {
    kind: 'spend',
    scope: 'tag',
    subject: mirrorSubject(org, mirror.id),
    period: 'day',
    timezone: 'UTC',
    capMicroUsd: mirror.daily_micro_usd,
    amount: m.reservedMicroUsd,
  } as const;
  const taken = await gw.limiter.take(m.ids.decisionId, org, [demand], m.receivedAt);
  if (taken.granted) m.keep('permit', taken);
  return taken.granted;
};

/** Sends it, reads the answer and books it. Throws GatewayError where there is no whole answer. */
const finish = async (gw: Gateway, m: Exchange, candidate: Candidate, masked: Masked): Promise<MirrorEnd> => {
  const { head, call, decision } = m.products;
  const { body } = masked.outgoingFor(candidate);
  const deadline = setTimeout(() => m.onAbort?.(), MOST_MS);
  try {
    const answer = await askAside(m, candidate, { ...wayTo(candidate, head!), body });
    m.time('forward');
    if (typeof answer === 'string') throw m.stopped ? stopping() : failureError(answer);
    if (answer.status >= 300) {
      answer.flow.abort();
      await concludeMirror(gw, m, refusedBy(answer));
      return { result: 'failed' };
    }
    const { received, sent, isError } = await readWhole(m, call!, answer, gw.limits.responseBytes);
    m.time('restore');
    const { usage, cost } = accountOf(gw, m, m.evidence);
    m.time('account');
    const how = isError
      ? ({ outcome: 'failed', error: 'upstream_error' } as const)
      : ({ outcome: 'ok', error: null } as const);
    await concludeMirror(
      gw,
      m,
      { ...how, status: answer.status, usage, cost },
      contentOf(decision, [received], [sent]),
    );
    return { result: isError ? 'failed' : 'answered' };
  } finally {
    clearTimeout(deadline);
  }
};

/** An answer without a body that anybody wants: it costs nothing. */
const refusedBy = ({ status }: Answer): Ending => {
  const isRefusal = status >= 400 && isRelayable(status);
  return {
    outcome: isRefusal ? 'rejected' : 'failed',
    status,
    error: isRefusal ? 'upstream_rejected' : 'upstream_error',
    usage: null,
    cost: FREE,
  };
};

const failed = (gw: Gateway, m: Exchange, thrown: unknown): Ending => {
  const isOurs = isGatewayError(thrown);
  if (!isOurs) gw.log.error({ ...m.names, cause: String(thrown) }, 'a mirror failed');
  const error = isOurs ? thrown : new GatewayError('internal_error', 'The gateway failed.');
  const used = m.attempts.length > 0 ? accountOf(gw, m, m.evidence) : { usage: null, cost: FREE };
  // Nobody was there to leave: it had to give way to a request of a caller, or took too long.
  const code = error.code === 'client_closed_request' ? 'upstream_timeout' : error.code;
  return { ...used, outcome: 'failed', status: error.status, error: code };
};

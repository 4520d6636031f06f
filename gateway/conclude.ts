import { answeredBy } from './answered-by.ts';
import type { AuditContent } from './audit/audit-log.ts';
import { ERRORS } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { Gateway } from './gateway.ts';
import { type Ending, FREE, outcomeOf } from './outcome.ts';
import { protocolOf } from './protocol/protocols.ts';
import { type Account, account, type Evidence, totalTokens } from './stages/account.ts';
import type { Decision } from './types.gen.ts';

/**
 * Ends an exchange: settles what it reserved and makes its outcome durable, once, whichever way it ended. Resolves when
 * the last byte may go out. Throws GatewayError `audit_unavailable`; the permit is settled even then.
 */
export const conclude = async (gw: Gateway, x: Exchange, ending: Ending, content?: AuditContent): Promise<void> => {
  if (x.concluded) return;
  x.concluded = true;
  settle(gw, x, ending);
  const { caller, decision, described } = x.products;
  if (gw.alerts && caller && decision) {
    const isRefused = ending.outcome === 'limited' && ending.error === 'budget_exceeded';
    if (isRefused) gw.alerts.charged(caller.org, decision.budgets, x.reservedMicroUsd);
    else if (ending.cost.micro_usd > 0) gw.alerts.charged(caller.org, decision.budgets);
  }
  let told = ending;
  try {
    if (caller || gw.strangers.record(x.address)) {
      await gw.audit.append(outcomeOf(x, ending), described ? content : undefined);
    } else gw.telemetry.count('aegis.audit.suppressed', {});
  } catch (error) {
    told = unrecorded(ending);
    throw error;
  } finally {
    gw.telemetry.finished(x, told);
  }
  x.outcome = ending.outcome;
  // After the record: what is compared of a request must never come before it, nor instead.
  observe(gw, x, ending);
};

/**
 * Ends the exchange of a mirror in the same way, once. It is no request of a caller: no policy, alert or metric of requests
 * is told. Throws GatewayError `audit_unavailable`; the permit is settled even then.
 */
export const concludeMirror = async (
  gw: Gateway,
  m: Exchange,
  ending: Ending,
  content?: AuditContent,
): Promise<void> => {
  if (m.concluded) return;
  m.concluded = true;
  settle(gw, m, ending);
  const upstream = m.attempts.at(-1)?.upstream ?? null;
  if (ending.cost.micro_usd > 0) gw.telemetry.count('aegis.mirrors.cost.usd', { upstream }, ending.cost.micro_usd);
  await gw.audit.append(outcomeOf(m, ending), content);
  m.outcome = ending.outcome;
};

/** Gives back what was taken for an exchange and not used. */
const settle = ({ limiter }: Gateway, { products: { permit } }: Exchange, { usage, cost }: Ending): void => {
  if (permit) limiter.settle(permit.id, { tokens: totalTokens(usage), microUsd: cost.micro_usd }, Date.now());
};

/** Tells the policies how a request ended that they were asked about. */
const observe = (gw: Gateway, x: Exchange, { outcome, usage, cost }: Ending): void => {
  const { described, decision } = x.products;
  if (!x.policy || !described) return;
  gw.policies.observe({
    decisionId: x.ids.decisionId,
    policy: x.policy,
    input: described.input,
    decision,
    outcome,
    usage,
    costMicroUsd: cost.micro_usd,
    isFallback: decision !== undefined && isFallback(x, decision),
    evaluationMs: (x.stagesUs.decide ?? 0) / 1000,
  });
};

const isFallback = (x: Exchange, { route: { candidates } }: Decision): boolean => {
  const [answered, first] = [answeredBy(x.attempts), candidates[0]];
  if (!answered || !first) return false;
  return answered.model !== first.model || answered.upstream !== first.upstream;
};

/** The ending of an exchange whose outcome could not be recorded; what a stream has sent stays sent. */
const unrecorded = (ending: Ending): Ending => ({
  ...ending,
  outcome: 'failed',
  status: ERRORS.audit_unavailable.status,
  error: 'audit_unavailable',
});

const UNBILLED: Account = { usage: null, cost: FREE };

/**
 * What an exchange used and costs, at the prices of the policy that decided it. Never throws: what cannot be counted is
 * charged as it was reserved, so that no failure keeps the outcome from its record.
 */
export const accountOf = (gw: Gateway, x: Exchange, evidence: Evidence | null): Account => {
  try {
    if (!x.policy) throw new TypeError('an exchange without a policy has no prices');
    const { call } = x.products;
    if (call && !protocolOf(call.endpoint).isBilled) return UNBILLED;
    return account(x, gw.prices(x.policy), evidence);
  } catch (error) {
    gw.log.error({ ...x.names, cause: String(error) }, 'what a request used cannot be counted');
    return { usage: null, cost: { micro_usd: x.reservedMicroUsd, price_version: x.policy?.ref.revision ?? null } };
  }
};

/** What the audit keeps of an answer: as the upstream sent it (redacted), as the caller got it (full), or nothing. */
export const contentOf = (
  decision: Decision | undefined,
  received: readonly Buffer[],
  sent: readonly Buffer[],
): AuditContent | undefined => {
  if (!decision || decision.audit.content === 'none') return undefined;
  const chunks = decision.audit.content === 'full' ? sent : received;
  return { chunks, retentionDays: decision.audit.retention_days };
};

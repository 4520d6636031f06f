import { answeredBy } from './answered-by.ts';
import type { Exchange } from './exchange.ts';
import { exposureOf } from './experiment.ts';
import { mirroredPurpose } from './mirror-tag.ts';
import { requestIdOf } from './stages/ids.ts';
import type { AuditIntent, AuditOutcome, Cost, Decision, Input, Usage } from './types.gen.ts';

/** How a request ended, as the stages know it. */
export interface Ending {
  readonly outcome: AuditOutcome['outcome'];
  readonly status: number;
  /** A code of docs/errors.md, or null. */
  readonly error: string | null;
  readonly usage: Usage | null;
  readonly cost: Cost;
  /** The limit that refused it. */
  readonly limit?: { readonly kind: string; readonly scope: string };
}

/** Nothing was used and nothing is charged. */
export const FREE: Cost = { micro_usd: 0, price_version: null };

/** The intent record of an exchange that is about to go upstream. */
export const intentOf = (x: Exchange): AuditIntent => {
  const { head, described, decision, masked } = x.products;
  if (!head || !described || !decision || !masked || !x.policy)
    throw new TypeError('an intent needs every stage before it');
  return {
    kind: 'intent',
    id: head.decisionId,
    time: new Date(x.receivedAt).toISOString(),
    ...mirrorOf(x),
    input: described.input as unknown as AuditIntent['input'],
    decision: decision as unknown as AuditIntent['decision'],
    bundle: x.policy.ref,
    reserved_micro_usd: x.reservedMicroUsd,
    masked: masked.counts,
    content: null,
  };
};

/** Early in a record: who reads requests alone can leave it out without reading on. */
const mirrorOf = ({ mirrorOf: original }: Pick<Exchange, 'mirrorOf'>): { mirror_of?: string } =>
  original === null ? {} : { mirror_of: original };

/** Who pays: the end user where the caller acts for one; the groups too, whose budgets are counted from the outcomes after a restart. */
const callerOf = (
  { id, org, team, user, groups }: Input['caller'],
  decision: Decision | undefined,
): AuditOutcome['caller'] => ({
  id,
  org,
  team,
  user: decision?.acting_for || user,
  ...(groups.length > 0 ? { groups: [...groups] } : {}),
});

/** The outcome record of an exchange, however far it came. */
export const outcomeOf = (x: Exchange, ending: Ending): AuditOutcome => {
  const { head, caller, described, decision } = x.products;
  const answered = answeredBy(x.attempts);
  // Its answer went to nobody: what an experiment compares is what callers got.
  const experiment = x.mirrorOf === null ? exposureOf(x) : undefined;
  return {
    kind: 'outcome',
    id: decision ? x.ids.decisionId : null,
    request_id: x.ids.requestId,
    time: new Date().toISOString(),
    ...mirrorOf(x),
    outcome: ending.outcome,
    status: ending.status,
    error: ending.error,
    caller: caller ? callerOf(caller, decision) : null,
    purpose: head?.purpose ?? null,
    endpoint: head?.endpoint ?? null,
    tier: decision?.rate.tier ?? null,
    // The intent holds both documents when there is one: they are the bulk of a record.
    input: x.intended || !described ? null : (described.input as unknown as NonNullable<AuditOutcome['input']>),
    decision: x.intended || !decision ? null : (decision as unknown as NonNullable<AuditOutcome['decision']>),
    // Also of a policy that was asked and could not decide: re-execution must know which.
    bundle: described ? (x.policy?.ref ?? null) : null,
    model: answered?.model ?? null,
    upstream: answered?.upstream ?? null,
    attempts: x.attempts,
    usage: ending.usage,
    cost: ending.cost,
    ...(experiment && { experiment }),
    ...(x.refused && { refused: true }),
    stages_us: x.stagesUs as Record<string, number>,
    duration_ms: x.durationMs(),
    content: null,
  };
};

/**
 * The outcome of an intent whose gateway died before it could say one. What was reserved is charged: the provider may
 * have done the whole work, and a cap must hold.
 */
export const unknownOutcome = (intent: AuditIntent): AuditOutcome => {
  const { caller, purpose, request } = intent.input as unknown as Input;
  const decision = intent.decision as unknown as Decision;
  const { mirror_of: original = null } = intent;
  const { mirror } = decision.route;
  return {
    kind: 'outcome',
    id: intent.id,
    // The input of a mirror's intent is that of the request it mirrors.
    request_id: original === null ? request.id : requestIdOf(intent.id),
    time: new Date().toISOString(),
    ...mirrorOf({ mirrorOf: original }),
    outcome: 'unknown',
    status: 0,
    error: 'internal_error',
    caller: callerOf(caller, decision),
    purpose: original === null || mirror === null ? purpose : mirroredPurpose(purpose, mirror.id),
    endpoint: request.endpoint,
    tier: decision.rate.tier,
    input: null,
    decision: null,
    bundle: intent.bundle,
    model: null,
    upstream: null,
    attempts: [],
    usage: null,
    cost: { micro_usd: intent.reserved_micro_usd, price_version: intent.bundle.revision },
    stages_us: {},
    duration_ms: 0,
    content: null,
  };
};

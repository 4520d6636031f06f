import { openAuditLog } from '../../gateway/audit/log.ts';
import type { Policy } from '../../gateway/policy/policy.ts';
import { createPriceTable } from '../../gateway/prices.ts';
import type { AuditIntent, AuditOutcome, AuditRecord, Decision, Input, Usage } from '../../gateway/types.gen.ts';

/** One request of a log: what it was, and how it ended. */
export interface LoggedRequest {
  readonly id: string;
  readonly input: Input;
  /** What it used; absent: 100 input and 50 output tokens where it was allowed. null: it has no usage. */
  readonly usage?: Partial<Usage> | null;
  /** The model that answered; absent: the one that is asked first. */
  readonly answeredBy?: string;
  readonly outcome?: AuditOutcome['outcome'];
  /** Changes what is recorded of the input, as an older version wrote it. */
  readonly recorded?: (input: Input) => Record<string, unknown>;
  /** Changes the recorded decision, as nobody should. */
  readonly decided?: (decision: Decision) => Decision;
  /** No outcome follows. */
  readonly isOpen?: true;
}

/** The records that a gateway with this policy writes of a request. */
export const recordsOf = (policy: Policy, request: LoggedRequest): AuditRecord[] => {
  const { id, input, decided = (decision) => decision, recorded = (whole) => ({ ...whole }) } = request;
  const decision = decided(policy.decide(input));
  const first = decision.allow ? decision.route.candidates[0] : undefined;
  const model = first && request.usage !== null ? (request.answeredBy ?? first.model) : null;
  const usage: Usage | null = model
    ? {
        input: 100,
        cache_read: 0,
        cache_write: 0,
        cache_write_1h: 0,
        output: 50,
        reasoning: 0,
        source: 'provider',
        ...request.usage,
      }
    : null;
  const documents = {
    input: recorded(input),
    decision: decision as unknown as AuditIntent['decision'],
  };
  const { id: callerId, org, team, user } = input.caller;
  const prices = createPriceTable(policy.data, policy.ref.revision);
  const outcome: AuditOutcome = {
    kind: 'outcome',
    id,
    request_id: input.request.id,
    time: new Date(Date.parse(input.request.time) + 1_000).toISOString(),
    outcome: request.outcome ?? (first ? 'ok' : 'denied'),
    status: first ? 200 : 403,
    error: first ? null : 'policy_denied',
    caller: { id: callerId, org, team, user },
    purpose: input.purpose,
    endpoint: input.request.endpoint,
    tier: decision.rate.tier,
    input: first ? null : documents.input,
    decision: first ? null : documents.decision,
    bundle: policy.ref,
    model,
    upstream: model && first ? first.upstream : null,
    attempts: [],
    usage,
    cost: {
      micro_usd: model && usage ? prices.cost(model, usage) : 0,
      price_version: model ? policy.ref.revision : null,
    },
    stages_us: {},
    duration_ms: 1_000,
    content: null,
  };
  if (!first) return [outcome];
  const intent: AuditIntent = {
    kind: 'intent',
    id,
    time: input.request.time,
    ...documents,
    bundle: policy.ref,
    reserved_micro_usd: 10_000,
    masked: {},
    content: null,
  };
  return request.isOpen ? [intent] : [intent, outcome];
};

/** Writes requests into the audit log of a home with the real writer, in their order: more of them go behind. */
export const writeDecisions = async (
  home: string,
  policy: Policy,
  requests: readonly LoggedRequest[],
): Promise<void> => {
  const log = await openAuditLog({ home });
  try {
    for (const request of requests) for (const record of recordsOf(policy, request)) await log.append(record);
  } finally {
    await log.close();
  }
};

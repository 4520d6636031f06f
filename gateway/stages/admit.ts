import { GatewayError } from '../errors.ts';
import type { Demand, Limiter, LimitState, Permit, Refusal } from '../limit/limiter.ts';
import type { PriceTable } from '../prices.ts';
import type { Call } from '../protocol/protocol.ts';
import type { Decision, Input } from '../types.gen.ts';
import { lostPromptCost } from './account.ts';
import type { Candidate } from './candidates.ts';
import { checkPriced } from './priced.ts';

/** Providers count more tokens than an estimate by character classes; rates reserve this much of it. */
const RATE_MARGIN = 1.35;

/** Prompt tokens a provider adds by itself when tools are offered (Anthropic's tool prompt is below 700). */
const TOOL_PROMPT_TOKENS = 1024;

/**
 * A call can end no dearer than this, millionths of a US dollar: every candidate at its dearest class and tier, and
 * before it each earlier one given up after it had the prompt, as `account` charges that (`tokens_estimate`).
 * Throws GatewayError `invalid_field` for a call that has no such bound.
 */
export const costBound = (
  call: Call,
  candidates: readonly Candidate[],
  prices: PriceTable,
  content: Pick<Input['content'], 'tokens_estimate' | 'pii' | 'secrets'>,
): number => {
  const promptTokens = content.tokens_estimate;
  checkPriced(call);
  let bound = 0;
  let givenUp = 0;
  for (const { model, maxOutputTokens, contextTokens } of candidates) {
    const inputTokensMax = Math.max(promptTokens, inputTokenBound(call, contextTokens, content));
    const outputTokensMax = outputTokenBound(call, maxOutputTokens);
    bound = Math.max(bound, givenUp + prices.upperBound({ models: [model], inputTokensMax, outputTokensMax }));
    givenUp += lostPromptCost(model, promptTokens, prices);
  }
  return bound;
};

/** A placeholder is longer than a short value: by less than this, bytes. */
const PLACEHOLDER_GROWTH = 24;

/** A token is at least a byte of the body as it is sent. What is not text in the body can fill the context. */
const inputTokenBound = (
  call: Call,
  contextTokens: number,
  { pii, secrets }: Pick<Input['content'], 'pii' | 'secrets'>,
): number => {
  if (call.uninspected.size > 0 || call.serverTools) return contextTokens;
  let bound = call.raw.length + (call.toolNames.length > 0 ? TOOL_PROMPT_TOKENS : 0);
  for (const name in pii) bound += pii[name]! * PLACEHOLDER_GROWTH;
  for (const name in secrets) bound += secrets[name]! * PLACEHOLDER_GROWTH;
  return bound;
};

/** Output tokens of a call at most: each choice may use the whole cap. */
export const outputTokenBound = (call: Call, maxOutputTokens: number): number => maxOutputTokens * choices(call);

/** OpenAI's `n`: each choice may use the whole output cap. */
const choices = (call: Call): number => {
  const n = call.body.n;
  if (n === undefined || n === null) return 1;
  if (!Number.isSafeInteger(n) || (n as number) < 1 || (n as number) > 128) {
    throw new GatewayError('invalid_field', 'n must be an integer from 1 to 128.', { param: 'n' });
  }
  return n as number;
};

/** The limits of a decision as demands of one request. */
export const demandsOf = (decision: Decision, tokens: number, costMicroUsd: number): Demand[] => {
  const demands: Demand[] = [];
  for (const limit of decision.rate.limits) {
    const { scope, subject } = limit;
    if (limit.requests_per_minute !== undefined) {
      demands.push({ kind: 'requests', scope, subject, perMinute: limit.requests_per_minute, amount: 1 });
    }
    if (limit.tokens_per_minute !== undefined) {
      demands.push({ kind: 'tokens', scope, subject, perMinute: limit.tokens_per_minute, amount: tokens });
    }
    if (limit.concurrent !== undefined) {
      demands.push({ kind: 'concurrent', scope, subject, max: limit.concurrent, amount: 1 });
    }
  }
  for (const budget of decision.budgets) {
    const { scope, subject, period, timezone } = budget;
    demands.push({
      kind: 'spend',
      scope,
      subject,
      period,
      timezone,
      capMicroUsd: budget.micro_usd,
      amount: costMicroUsd,
    });
  }
  return demands;
};

/**
 * Takes all of a request's limits at once or none; `boundMicroUsd` is its costBound. Throws GatewayError
 * `rate_limited` or `budget_exceeded`, with the time after which a retry may work.
 */
export const admit = async (
  id: string,
  input: Input,
  decision: Decision,
  boundMicroUsd: number,
  limiter: Limiter,
  now: number,
): Promise<Permit> => {
  const tokens = Math.ceil(input.content.tokens_estimate * RATE_MARGIN);
  const taken = await limiter.take(id, input.caller.org, demandsOf(decision, tokens, boundMicroUsd), now);
  if (taken.granted) return taken;
  throw refused(taken);
};

const refused = ({ demand, retryAfterMs, states }: Refusal): GatewayError => {
  const whose = `${demand.scope} ${demand.subject}`;
  const detail = { states, ...(retryAfterMs === null ? {} : { retryAfterMs }) };
  switch (demand.kind) {
    case 'spend':
      return new GatewayError(
        'budget_exceeded',
        `The ${demand.period}'s budget of ${whose} (${usd(demand.capMicroUsd)}) does not cover this request, which may cost up to ${usd(demand.amount)}.`,
        { ...detail, hint: 'A smaller max_tokens or a cheaper model needs less of the budget.' },
      );
    case 'requests':
      return new GatewayError('rate_limited', `${whose} has reached ${demand.perMinute} requests a minute.`, detail);
    case 'concurrent':
      return new GatewayError('rate_limited', `${whose} has ${demand.max} requests under way, its limit.`, detail);
    case 'tokens':
      return new GatewayError(
        'rate_limited',
        demand.amount > demand.perMinute
          ? `This request needs about ${demand.amount} tokens; ${whose} has ${demand.perMinute} a minute.`
          : `${whose} has reached ${demand.perMinute} tokens a minute.`,
        detail,
      );
  }
};

const usd = (microUsd: number): string => `$${(microUsd / 1e6).toFixed(microUsd < 10_000 ? 6 : 2)}`;

/** The x-ratelimit-* headers of OpenAI: of each kind, the limit that is nearest to its end. */
export const rateLimitHeaders = (states: readonly LimitState[]): Record<string, string> => {
  const headers: Record<string, string> = {};
  for (const kind of ['requests', 'tokens'] as const) {
    let tightest: LimitState | undefined;
    for (const state of states) {
      if (state.kind === kind && (!tightest || state.remaining < tightest.remaining)) tightest = state;
    }
    if (!tightest) continue;
    headers[`x-ratelimit-limit-${kind}`] = String(tightest.limit);
    headers[`x-ratelimit-remaining-${kind}`] = String(Math.max(0, Math.floor(tightest.remaining)));
    headers[`x-ratelimit-reset-${kind}`] = duration(tightest.resetMs);
  }
  return headers;
};

/** As OpenAI writes durations: 12ms, 1.5s, 1m12s. */
const duration = (ms: number): string => {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const tenths = Math.round(ms / 100);
  if (tenths < 600) return `${tenths / 10}s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
};

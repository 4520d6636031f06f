import { GatewayError } from '../errors.ts';
import type { Demand, Limiter, LimitState, Permit, Refusal } from '../limit/limiter.ts';
import { MAX_TOKENS, type PriceTable } from '../prices.ts';
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
 * before it each earlier one given up twice after it had the prompt, and itself once, as `account` charges that
 * (`tokens_estimate`): a candidate is asked again at most once. Throws GatewayError `invalid_field` for a call that has
 * no such bound.
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
    const lost = lostPromptCost(model, promptTokens, prices);
    bound = Math.max(bound, givenUp + lost + prices.upperBound({ models: [model], inputTokensMax, outputTokensMax }));
    givenUp += 2 * lost;
  }
  return bound;
};

/** Of input and of output: no call comes near, and both together can be counted. */
const MOST_TOKENS = MAX_TOKENS / 2;

/** A placeholder is longer than a short value: by less than this, bytes. */
const PLACEHOLDER_GROWTH = 24;

/** A token is at least a byte of the body as it is sent. What is not text in the body can fill the context. */
const inputTokenBound = (
  call: Call,
  contextTokens: number,
  { pii, secrets }: Pick<Input['content'], 'pii' | 'secrets'>,
): number => {
  // Token ids are bytes too; all else that cannot be read may fill the context, of each prompt.
  const isUnread = call.uninspected.size > 0 && call.tokenIds === undefined;
  if (isUnread || call.serverTools) return Math.min(MOST_TOKENS, contextTokens * promptsOf(call));
  let bound = call.raw.length + (call.toolNames.length > 0 ? TOOL_PROMPT_TOKENS : 0);
  for (const name in pii) bound += pii[name]! * PLACEHOLDER_GROWTH;
  for (const name in secrets) bound += secrets[name]! * PLACEHOLDER_GROWTH;
  return bound;
};

/** Output tokens of a call at most: each choice for each prompt may use the whole cap. */
export const outputTokenBound = (call: Call, maxOutputTokens: number): number =>
  maxOutputTokens === 0 ? 0 : Math.min(MOST_TOKENS, maxOutputTokens * promptsOf(call) * choices(call));

/** Prompts of a call: none at all is the provider's to refuse. */
const promptsOf = ({ prompts = 1 }: Call): number => {
  if (prompts > MOST_PROMPTS) {
    throw new GatewayError('input_too_large', `A request may have ${MOST_PROMPTS} prompts, not ${prompts}.`);
  }
  return Math.max(1, prompts);
};

/** What OpenAI takes. */
const MOST_PROMPTS = 2048;

/** What is written for a prompt: OpenAI's `n`, and of completions `best_of`, of which only the best are given. */
const choices = (call: Call): number => {
  const n = count(call, 'n');
  return call.endpoint === 'completions' ? Math.max(n, count(call, 'best_of')) : n;
};

const count = ({ body }: Call, name: 'n' | 'best_of'): number => {
  const value = body[name];
  if (value === undefined || value === null) return 1;
  if (!Number.isSafeInteger(value) || (value as number) < 1 || (value as number) > 128) {
    throw new GatewayError('invalid_field', `${name} must be an integer from 1 to 128.`, { param: name });
  }
  return value as number;
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
  const limit = { kind: demand.kind, scope: demand.scope };
  const detail = { states, limit, ...(retryAfterMs === null ? {} : { retryAfterMs }) };
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

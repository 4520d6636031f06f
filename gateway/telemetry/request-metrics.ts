import { answeredBy } from '../answered-by.ts';
import { ERRORS, type ErrorCode } from '../errors.ts';
import type { Exchange, Stage } from '../exchange.ts';
import type { Ending } from '../outcome.ts';
import type { Attempt, Usage } from '../types.gen.ts';
import type { createLabels, RequestLabels } from './labels.ts';
import type { Registry } from './registry.ts';

type LabelsOf = ReturnType<typeof createLabels>;

/** Attempts that did not wait for anybody: nothing was sent. */
const SKIPS = new Set(['circuit_open', 'keys_resting', 'retry_budget']);

/** The stages before the first attempt. */
const BEFORE_FORWARD: readonly Stage[] = [
  'receive',
  'authenticate',
  'read',
  'describe',
  'decide',
  'admit',
  'mask',
  'intent',
];

const TOKEN_CLASSES = ['input', 'cache_read', 'cache_write', 'cache_write_1h', 'output', 'reasoning'] as const;

/** Books what there is to say of an exchange that has ended. */
export const createRequestMetrics = (
  registry: Registry,
  labels: LabelsOf,
): ((x: Exchange, ending: Ending, known: RequestLabels) => void) => {
  const requests = registry.counter('aegis.requests');
  const errors = registry.counter('aegis.errors');
  const decisions = registry.counter('aegis.decisions');
  const redactions = registry.counter('aegis.redactions');
  const refusals = registry.counter('aegis.limiter.refusals');
  const cost = registry.counter('aegis.cost.usd');
  const attempts = registry.counter('aegis.upstream.attempts');
  const retries = registry.counter('aegis.upstream.retries');
  const fallbacks = registry.counter('aegis.upstream.fallbacks');
  const attemptDuration = registry.histogram('aegis.upstream.attempt.duration');
  const httpDuration = registry.histogram('http.server.request.duration');
  const stageDuration = registry.histogram('aegis.stage.duration');
  const operationDuration = registry.histogram('gen_ai.client.operation.duration');
  const tokenUsage = registry.histogram('gen_ai.client.token.usage');
  const firstToken = registry.histogram('gen_ai.server.time_to_first_token');
  const perToken = registry.histogram('gen_ai.server.time_per_output_token');
  // Each kind of failure is there before its first, so that a rate sees it.
  for (const code of Object.keys(ERRORS) as ErrorCode[]) errors.at(code);

  const countAttempts = (x: Exchange): void => {
    for (let at = 0; at < x.attempts.length; at++) {
      const attempt = x.attempts[at]!;
      const upstream = labels.upstream(attempt.upstream);
      const error = labels.upstreamError(attempt.error);
      attempts.at(upstream, labels.model(attempt.model, x), error).add(1);
      if (error === null || !SKIPS.has(error)) attemptDuration.at(upstream, error).record(attempt.ms / 1000);
      const next = x.attempts[at + 1];
      if (!next) continue;
      const isSame = next.model === attempt.model && next.upstream === attempt.upstream;
      (isSame ? retries : fallbacks).at(upstream, error).add(1);
    }
  };

  const countModel = (
    x: Exchange,
    { usage, outcome }: Ending,
    { operation, requestModel, code }: RequestLabels,
    durationMs: number,
  ): void => {
    const last = answering(x.attempts);
    if (!last) return;
    const provider = labels.provider(last.upstream);
    const upstream = labels.upstream(last.upstream);
    // Without an answer nobody knows which model it would have been.
    const model = last.error === null ? labels.model(last.model, x) : null;
    const spentMs = durationMs - forwardStartMs(x);
    operationDuration.at(operation, provider, requestModel, model, upstream, code).record(spentMs / 1000);
    if (usage) {
      for (const name of TOKEN_CLASSES) {
        const tokens = usage[name];
        if (tokens === 0 && name !== 'input' && name !== 'output') continue;
        tokenUsage.at(operation, provider, requestModel, model, upstream, name).record(tokens);
      }
    }
    const { firstEventMs } = x;
    if (firstEventMs === null) return;
    firstToken.at(operation, provider, requestModel, model, upstream).record(firstEventMs / 1000);
    const tokens = outcome === 'ok' ? countedOutput(usage) : 0;
    if (tokens < 2) return;
    const seconds = Math.max(0, durationMs - firstEventMs) / 1000 / (tokens - 1);
    perToken.at(operation, provider, requestModel, model, upstream).record(seconds);
  };

  return (x, ending, known) => {
    const { head, described, decision, masked } = x.products;
    const { code, org } = known;
    const durationMs = x.durationMs();
    const endpoint = head?.endpoint ?? null;
    httpDuration.at(known.method, head?.route.path ?? null, ending.status, 'http', code).record(durationMs / 1000);
    requests.at(endpoint, ending.outcome, org).add(1);
    if (code !== null) errors.at(code).add(1);
    if (described) {
      if (!decision) {
        if (code === 'policy_unavailable') decisions.at(endpoint, 'error', code).add(1);
      } else if (decision.allow && ending.outcome !== 'denied') decisions.at(endpoint, 'allow', null).add(1);
      else decisions.at(endpoint, 'deny', labels.denyCode(ending.error ?? 'policy_denied')).add(1);
    }
    for (const stage in x.stagesUs) stageDuration.at(stage).record(x.stagesUs[stage as Stage]! / 1e6);
    if (masked) for (const entity in masked.counts) redactions.at(entity).add(masked.counts[entity]!);
    if (ending.limit) refusals.at(ending.limit.kind, ending.limit.scope).add(1);
    if (x.attempts.length === 0) return;
    countAttempts(x);
    countModel(x, ending, known, durationMs);
    if (ending.cost.micro_usd > 0) {
      const { model, upstream } = answering(x.attempts)!;
      // Whole micro-dollars: a sum of fractions would drift.
      cost.at(org, labels.model(model, x), labels.upstream(upstream)).add(ending.cost.micro_usd);
    }
  };
};

/** The attempt that answered, or the last one. */
const answering = (attempts: readonly Attempt[]): Attempt | undefined => answeredBy(attempts) ?? attempts.at(-1);

/** When the first attempt began, milliseconds since the request came in. */
export const forwardStartMs = ({ stagesUs }: Exchange): number => {
  let us = 0;
  for (const stage of BEFORE_FORWARD) us += stagesUs[stage] ?? 0;
  return us / 1000;
};

const countedOutput = (usage: Usage | null): number =>
  usage?.source === 'provider' ? usage.output + usage.reasoning : 0;

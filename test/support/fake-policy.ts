import { createHash } from 'node:crypto';
import type { EndedRequest, Policy } from '../../gateway/policy/policy.ts';
import type { Decision, Input, Manifest, PolicyData } from '../../gateway/types.gen.ts';
import { input, MODELS } from './policy-fixture.ts';

/** A decision that allows the small model. */
export const allowing = (change: Partial<Decision> = {}): Decision => ({
  allow: true,
  deny: [],
  route: { candidates: [{ model: 'small', upstream: 'openai' }], reason: '', experiment: null, mirror: null },
  parameters: {},
  tools: { remove: [] },
  redact: [],
  rate: { tier: 'free', limits: [] },
  budgets: [],
  audit: { content: 'none', retention_days: 1 },
  cache: null,
  rules: [],
  ...change,
});

/** A decision that refuses. */
export const refusing = (code = 'refused'): Decision =>
  allowing({ allow: false, deny: [{ code, message: 'No.', hint: '', rule: code }] });

/** A policy of a name that decides by a function. */
export const fakePolicy = (name: string, decide: (input: Input) => Decision = () => allowing()): Policy => ({
  ref: { digest: createHash('sha256').update(name).digest('hex'), revision: name },
  manifest: {} as Manifest,
  data: {
    models: { ...MODELS, dear: { ...MODELS.small, usd_per_million_tokens: { input: 2, output: 4 } } },
  } as unknown as PolicyData,
  decide,
  models: () => ['small'],
  admin: () => ({ allow: false, deny: [] }),
});

let requests = 0;

/** A request that `policy` decided, and how it ended. */
export const ended = (
  policy: Policy,
  { caller = 'key-1', ...change }: Partial<EndedRequest> & { caller?: string } = {},
): EndedRequest => {
  const asked = change.input ?? input({ caller: { id: caller } });
  const decision = 'decision' in change ? change.decision : policy.decide(asked);
  return {
    decisionId: `decision-${++requests}`,
    policy,
    input: asked,
    outcome: decision === undefined ? 'failed' : decision.allow ? 'ok' : 'denied',
    usage: decision?.allow
      ? { input: 100, cache_read: 0, cache_write: 0, cache_write_1h: 0, output: 50, reasoning: 0, source: 'provider' }
      : null,
    costMicroUsd: decision?.allow ? 200 : 0,
    isFallback: false,
    evaluationMs: 0.1,
    ...change,
    decision,
  };
};

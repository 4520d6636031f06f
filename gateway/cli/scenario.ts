import { isGatewayError } from '../errors.ts';
import type { Policy } from '../policy/policy.ts';
import type { Endpoint, UpstreamKind } from '../protocol/protocol.ts';
import { servedEndpoints } from '../protocol/translations.ts';
import { createPseudonyms } from '../pseudonym.ts';
import { createDetector } from '../redact/detect.ts';
import { createVaults } from '../redact/vault.ts';
import { candidatesOf } from '../stages/candidates.ts';
import { type DescribedHead, describe, describeBodiless, type Facts } from '../stages/describe.ts';
import { mask } from '../stages/mask.ts';
import { parseCall } from '../stages/read.ts';
import type { Decision, Input, Scenario } from '../types.gen.ts';
import { endpointOf } from '../upstream/endpoint.ts';
import type { Upstream } from '../upstream/upstream.ts';

/** One expectation that did not come true. */
export interface Difference {
  field: string;
  expected: unknown;
  actual: unknown;
}

/** What became of a scenario; without differences it passed. */
export interface ScenarioResult {
  differences: Difference[];
  /** Ids of the rules that fired. */
  rules: string[];
}

/** What happened, in the fields of a scenario's `expect`. */
interface Outcome {
  decision?: Decision;
  allow: boolean;
  codes: { code: string; hint: string }[];
  models?: string[];
  sent?: string;
}

const DEPTH = 64;
/** Scenarios are repeatable: their placeholders come from a fixed secret. */
const openVault = createVaults(Buffer.alloc(32, 'scenario'));
const pseudonym = createPseudonyms(Buffer.alloc(32, 'scenario'));
const detector = createDetector();

/**
 * Runs a scenario through the gateway's own stages (read, describe, decide, mask) and a policy. Nothing is sent. An error
 * of a stage counts as a refusal with the error's code.
 */
export const runScenario = (scenario: Scenario, policy: Policy): ScenarioResult => {
  const outcome = outcomeOf(scenario, policy);
  return { differences: compare(scenario.expect, outcome), rules: outcome.decision?.rules ?? [] };
};

const outcomeOf = (scenario: Scenario, policy: Policy): Outcome => {
  try {
    return decideScenario(scenario, policy);
  } catch (error) {
    if (!isGatewayError(error) || error.status >= 500) throw error;
    return { allow: false, codes: [{ code: error.code, hint: error.detail.hint ?? '' }] };
  }
};

const decideScenario = ({ given, request }: Scenario, policy: Policy): Outcome => {
  const time = Date.parse(given.time ?? '2026-11-24T09:00:00.000Z');
  const upstreams = upstreamsOf(given.upstreams ?? {});
  const told = Object.fromEntries([...upstreams].map(([name, { facts }]) => [name, facts]));
  const facts: Facts = {
    now: () => time,
    upstreams: () => told,
    spend: () => spendOf(given.spend ?? [], time),
    pseudonym,
    experiments: () => given.experiments ?? {},
  };
  const head: DescribedHead = {
    requestId: 'req_scenario',
    sourceIp: '192.0.2.1',
    headers: given.headers ?? {},
    purpose: { workflow: '', use_case: '', session: '', tags: {}, ...given.purpose },
    endUser: given.end_user ?? '',
  };
  const caller: Input['caller'] = { ...NOBODY, ...given.caller };
  if (request.endpoint === 'models') {
    const input = describeBodiless({ ...head, endpoint: 'models', dialect: 'openai' }, caller, facts);
    return { ...outcomeOfDecision(policy.decide(input)), models: policy.models(input) };
  }
  const call = parseCall(Buffer.from(JSON.stringify(request.body ?? {})), request.endpoint as Endpoint, {
    depth: DEPTH,
  });
  const described = describe(call, head, caller, facts, detector, policy.data.complexity);
  const decision = policy.decide(described.input);
  const outcome = outcomeOfDecision(decision);
  if (!decision.allow) return outcome;
  try {
    const candidates = candidatesOf(call, decision, policy.data, fakeUpstreams(upstreams));
    // A count of tokens that no upstream makes leaves nothing.
    if (candidates.length === 0) return outcome;
    const masked = mask(call, described, decision, candidates, openVault);
    return { ...outcome, sent: masked.outgoingFor(masked.candidates[0]!).body.toString('utf8') };
  } catch (error) {
    if (!isGatewayError(error) || error.code === 'policy_unavailable') throw error;
    const code = error.detail.policyCode ?? error.code;
    return { ...outcome, allow: false, codes: [{ code, hint: error.detail.hint ?? '' }] };
  }
};

const outcomeOfDecision = (decision: Decision): Outcome => ({
  decision,
  allow: decision.allow,
  codes: decision.deny.map(({ code, hint }) => ({ code, hint })),
});

const NOBODY: Input['caller'] = {
  kind: 'key',
  id: 'key_scenario',
  org: '',
  team: '',
  user: '',
  roles: [],
  groups: [],
  workflows: [],
  scopes: [],
  claims: {},
};

const UPSTREAMS = ['openai', 'anthropic', 'mistral', 'local'];

type UpstreamChanges = NonNullable<Scenario['given']['upstreams']>;

/** An upstream of a scenario: what policies are told of it, and what it speaks itself. */
interface ScenarioUpstream {
  facts: Input['upstreams'][string];
  endpoints: readonly Endpoint[];
}

const upstreamsOf = (changes: UpstreamChanges): ReadonlyMap<string, ScenarioUpstream> => {
  const names = new Set([...UPSTREAMS, ...Object.keys(changes)].filter((name) => changes[name] !== null));
  return new Map([...names].map((name) => [name, upstreamOf(name, changes[name] ?? {})]));
};

/** As the sandbox stands in for a provider of that name, with changes. */
const upstreamOf = (name: string, { endpoints: spoken, ...changes }: NonNullable<UpstreamChanges[string]>) => {
  const { dialects, endpoints, thirdParty } = endpointOf({
    name,
    kind: 'sandbox',
    base_url: 'http://127.0.0.1:1/v1', // nothing is sent
    ...(spoken ? { endpoints: spoken } : {}),
  });
  const health = { state: 'up' as const, error_rate: 0, p50_ms: 300 };
  const served = { dialects: [...dialects], endpoints: servedEndpoints(endpoints), third_party: thirdParty };
  return { facts: { ...served, ...health, ...changes }, endpoints };
};

const spendOf = (given: NonNullable<Scenario['given']['spend']>, time: number): Input['spend'] => {
  const period = new Date(time).toISOString().slice(0, 7);
  return given.map((entry) => ({ period, reserved_micro_usd: 0, age_ms: 0, ...entry }));
};

/** Upstreams that are only asked what they speak. */
const fakeUpstreams = (upstreams: ReadonlyMap<string, ScenarioUpstream>): ReadonlyMap<string, Upstream> =>
  new Map(
    [...upstreams].map(([name, { facts, endpoints }]) => [
      name,
      { name, kind: KINDS[name] ?? 'openai_compatible', dialects: facts.dialects, endpoints } as unknown as Upstream,
    ]),
  );

const KINDS: Readonly<Record<string, UpstreamKind>> = { openai: 'openai', anthropic: 'anthropic', mistral: 'mistral' };

const compare = (expect: Scenario['expect'], outcome: Outcome): Difference[] => {
  const differences: Difference[] = [];
  const differ = (field: string, expected: unknown, actual: unknown): void => {
    differences.push({ field, expected, actual });
  };
  const equal = (field: string, expected: unknown, actual: unknown): void => {
    if (expected !== undefined && JSON.stringify(expected) !== JSON.stringify(actual)) differ(field, expected, actual);
  };
  const { decision } = outcome;
  const [first, ...others] = decision?.route.candidates ?? [];
  equal('allow', expect.allow, outcome.allow);
  const entry = outcome.codes.find(({ code }) => code === expect.code);
  if (expect.code !== undefined && entry === undefined)
    differ(
      'code',
      expect.code,
      outcome.codes.map(({ code }) => code),
    );
  if (expect.hint !== undefined && !entry?.hint.includes(expect.hint)) differ('hint', expect.hint, entry?.hint ?? null);
  equal('model', expect.model, first?.model ?? null);
  equal('upstream', expect.upstream, first?.upstream ?? null);
  equal(
    'fallbacks',
    expect.fallbacks,
    others.map(({ model }) => model),
  );
  equal('models', expect.models, outcome.models ?? null);
  equal(
    'redact',
    sorted(expect.redact),
    sorted(Object.fromEntries((decision?.redact ?? []).map((rule) => [rule.entity, rule.action]))),
  );
  equal('tools_removed', expect.tools_removed, decision?.tools.remove ?? []);
  equal('max_output_tokens', expect.max_output_tokens, decision?.parameters.max_output_tokens ?? null);
  equal('tier', expect.tier, decision?.rate.tier ?? null);
  equal(
    'budgets',
    expect.budgets,
    (decision?.budgets ?? []).map(({ scope }) => scope),
  );
  equal('audit', expect.audit, decision?.audit.content ?? null);
  for (const text of expect.leaves ?? []) {
    if (!outcome.sent?.includes(text)) differ('leaves', text, outcome.sent ?? 'nothing is sent');
  }
  for (const text of expect.stays ?? []) {
    // What is not sent does not leave; but then the scenario does not say what it means to say.
    if (outcome.sent === undefined || outcome.sent.includes(text))
      differ('stays', text, outcome.sent ?? 'nothing is sent');
  }
  const missing = (expect.rules ?? []).filter((rule) => !decision?.rules.includes(rule));
  if (missing.length > 0) differ('rules', missing, decision?.rules ?? []);
  return differences;
};

const sorted = (table: Record<string, string> | undefined): [string, string][] | undefined =>
  table && Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1));

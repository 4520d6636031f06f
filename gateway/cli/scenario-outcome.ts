import { type GatewayError, isGatewayError } from '../errors.ts';
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

/** What became of a scenario. */
export interface Outcome {
  readonly allow: boolean;
  /** Why not: of the policy, or of the stage that refused. */
  readonly refusals: readonly Refusal[];
  /** What the policy was asked; undefined when the request was refused before. */
  readonly input?: Input;
  readonly decision?: Decision;
  /** For endpoint models: what is listed. */
  readonly models?: readonly string[];
  /** What leaves: the body for the first candidate, and the texts in it that the model reads. */
  readonly sent?: { readonly body: string; readonly texts: readonly string[] };
}

/** `rule` is undefined when it was not the policy that refused. */
export type Refusal = Pick<Decision['deny'][number], 'code' | 'message' | 'hint'> & { readonly rule?: string };

const DEPTH = 64;
/** Scenarios are repeatable: their placeholders come from a fixed secret. */
const openVault = createVaults(Buffer.alloc(32, 'scenario'));
const pseudonym = createPseudonyms(Buffer.alloc(32, 'scenario'));
const detector = createDetector();

/**
 * What becomes of a scenario in the gateway's own stages (read, describe, decide, mask) under a policy. Nothing is sent. An
 * error of a stage counts as a refusal with the error's code; throws GatewayError when there is no decision at all.
 */
export const outcomeOf = (scenario: Scenario, policy: Policy): Outcome => {
  try {
    return decideScenario(scenario, policy);
  } catch (error) {
    if (!isGatewayError(error) || error.status >= 500) throw error;
    return { allow: false, refusals: [refusalOf(error)] };
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
    return { ...outcomeOfDecision(input, policy.decide(input)), models: policy.models(input) };
  }
  if (request.endpoint === 'feedback') {
    const input = describeBodiless({ ...head, endpoint: 'feedback', dialect: 'openai' }, caller, facts);
    return outcomeOfDecision(input, policy.decide(input));
  }
  const call = parseCall(Buffer.from(JSON.stringify(request.body ?? {})), request.endpoint as Endpoint, {
    depth: DEPTH,
  });
  const described = describe(call, head, caller, facts, detector, policy.data);
  const decision = policy.decide(described.input);
  const outcome = outcomeOfDecision(described.input, decision);
  if (!decision.allow) return outcome;
  try {
    const candidates = candidatesOf(call, decision, policy.data, fakeUpstreams(upstreams));
    // A count of tokens that no upstream makes leaves nothing.
    if (candidates.length === 0) return outcome;
    const masked = mask(call, described, decision, candidates, openVault);
    const first = masked.candidates[0]!;
    return { ...outcome, sent: sentTo(first.wire, masked.outgoingFor(first).body) };
  } catch (error) {
    if (!isGatewayError(error) || error.code === 'policy_unavailable') throw error;
    return { ...outcome, allow: false, refusals: [refusalOf(error)] };
  }
};

const outcomeOfDecision = (input: Input, decision: Decision): Outcome => ({
  input,
  decision,
  allow: decision.allow,
  refusals: decision.deny,
});

const refusalOf = (error: GatewayError): Refusal => ({
  code: error.detail.policyCode ?? error.code,
  message: error.message,
  hint: error.detail.hint ?? '',
});

/** Read back as the provider reads it: so the texts are what a model is given, whatever the wire format. */
const sentTo = (wire: Endpoint, body: Buffer): NonNullable<Outcome['sent']> => ({
  body: body.toString('utf8'),
  texts: parseCall(body, wire, { depth: 2 * DEPTH }).texts.map(({ text }) => text),
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

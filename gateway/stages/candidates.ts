import { GatewayError } from '../errors.ts';
import { pricesOfModel } from '../prices.ts';
import type { Call, Endpoint } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';
import type { Translation } from '../protocol/translation.ts';
import { translationOf, wireFor } from '../protocol/translations.ts';
import type { Decision, PolicyData } from '../types.gen.ts';
import { steersLitellm } from '../upstream/litellm.ts';
import type { Upstream } from '../upstream/upstream.ts';

/** One model to try at one upstream, with what is sent for it. */
export interface Candidate {
  readonly model: string;
  readonly upstream: Upstream;
  /** The model's name at that upstream. */
  readonly upstreamModel: string;
  /** The wire format in which it is asked. */
  readonly wire: Endpoint;
  /** From the caller's wire format to that one; null where they are the same. */
  readonly translation: Translation | null;
  /**
   * The output cap that is always sent: the least of the caller's, the decision's and the model's own; 0 for no output.
   */
  readonly maxOutputTokens: number;
  readonly contextTokens: number;
}

/**
 * The decision's candidates that this gateway can execute for this call, in the policy's order. Upstreams that can be
 * asked for the endpoint neither in its own wire format nor in another are left out, and models without a price where
 * the answer is billed. Throws GatewayError `no_candidate` when none is left (a count of tokens needs none),
 * `invalid_field` when a LiteLLM is all that is left and a field of the call would steer it, `policy_unavailable` when
 * the decision names what does not exist.
 */
export const candidatesOf = (
  call: Call,
  decision: Decision,
  data: PolicyData,
  upstreams: ReadonlyMap<string, Upstream>,
): Candidate[] => {
  const { hasOutput, isBilled } = protocolOf(call.endpoint);
  const candidates: Candidate[] = [];
  let unsaid: GatewayError | undefined;
  let unpriced: string | undefined;
  for (const { model, upstream: name } of decision.route.candidates) {
    const entry = data.models[model];
    const upstreamModel = entry?.upstreams[name];
    const upstream = upstreams.get(name);
    if (!entry || upstreamModel === undefined || !upstream) {
      throw new GatewayError('policy_unavailable', 'The policy named a model or an upstream that does not exist.', {
        cause: `candidate ${model} at ${name}`,
      });
    }
    const wire = wireFor(call.endpoint, upstream.endpoints);
    if (wire === undefined) continue;
    if (isBilled && !pricesOfModel(data, entry)) {
      unpriced ??= model;
      continue;
    }
    const steers = upstream.kind === 'litellm' ? steersLitellm(call.body) : null;
    if (steers !== null) {
      unsaid ??= steering(steers);
      continue;
    }
    const caps = [entry.max_output_tokens, decision.parameters.max_output_tokens, call.maxOutputTokens];
    candidates.push({
      model,
      upstream,
      upstreamModel,
      wire,
      translation: translationOf(call.endpoint, wire),
      maxOutputTokens: hasOutput ? Math.max(1, Math.min(...caps.filter((cap) => typeof cap === 'number'))) : 0,
      contextTokens: entry.context_tokens,
    });
  }
  if (candidates.length === 0 && unsaid) throw unsaid;
  if (candidates.length === 0 && unpriced !== undefined) throw priceless(unpriced);
  // Tokens can be counted without an upstream.
  if (candidates.length === 0 && call.endpoint !== 'messages.count_tokens') {
    const wished = decision.route.candidates.map(({ model }) => model).join(', ');
    throw new GatewayError(
      'no_candidate',
      `No model this request may use can be asked for ${call.endpoint}: ${wished}.`,
      {
        hint: 'Use an endpoint of the model’s provider, or model "auto".',
      },
    );
  }
  return candidates;
};

/** Nothing is asked that no budget could count. */
const priceless = (model: string): GatewayError =>
  new GatewayError('no_candidate', `The policy has no price for ${model}, so it cannot be asked.`, {
    hint: 'Name another model. The operator sets its usd_per_million_tokens, or default_prices.',
  });

const steering = (param: string): GatewayError =>
  new GatewayError('invalid_field', `The upstream would take ${param} as an order to itself, so it cannot be used.`, {
    param,
    hint: 'Leave it out.',
  });

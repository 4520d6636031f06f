import { GatewayError } from '../errors.ts';
import type { Policy } from '../policy/policy.ts';
import type { Decision, Input } from '../types.gen.ts';

/** The policy's decision on an input. Throws GatewayError `policy_unavailable`, never allows by default. */
export const decide = (input: Input, policy: Policy): Decision => policy.decide(input);

/** The error of a decision that does not allow: code, message and hint of the first rule that denied. */
export const denial = (decision: Decision): GatewayError => {
  const reason = decision.deny[0];
  if (!reason) return new GatewayError('policy_denied', 'No rule of the policy allows this request.');
  return new GatewayError('policy_denied', reason.message, { policyCode: reason.code, hint: reason.hint });
};

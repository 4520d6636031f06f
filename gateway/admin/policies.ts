import { GatewayError } from '../errors.ts';
import type { ReplicaReport, RolloutState } from '../policy/rollout-state.ts';
import type { BundleRef } from '../types.gen.ts';
import type { Answer, Operation } from './admin-operation.ts';
import type { PlatformPolicies } from './platform-policies.ts';
import { viewRollout } from './rollout-view.ts';

/** Who has said nothing for so long is one that was stopped or replaced. */
const SHOWN_MS = 300_000;

/**
 * GET /admin/v1/policies: what serves and who signed it, what is asked for, how far the rollout is, and what all gateways
 * of the store say of themselves. `shared` is false while the store is away: then it is what this gateway knows alone.
 */
export const readPolicies = async ({ policies, org, gateway }: Operation): Promise<Answer> => {
  // Policies are the whole platform's, and decisions that show a difference are of any organisation.
  if (org !== null) {
    throw new GatewayError(
      'policy_denied',
      `The caller administers "${org}" alone, and policies are every organisation's.`,
      {
        policyCode: 'organization_not_allowed',
        hint: 'A role needs all_organizations beside admin.policies (policies/roles/data.yaml).',
      },
    );
  }
  const { replica, stable, candidate, desired, problem } = policies.shown();
  const nowMs = Date.now();
  const shared = await readShared(policies, candidate?.state, nowMs).catch((error: unknown) => {
    gateway.log.warn({ cause: String(error) }, 'what gateways share of a rollout cannot be read');
    return undefined;
  });
  const { state, reports } = shared ?? { state: candidate?.state, reports: [] };
  const view = viewRollout({ desired, plan: candidate?.plan ?? null, state, reports, nowMs });
  return {
    status: 200,
    body: {
      answered_by: replica,
      shared: shared !== undefined,
      problem,
      stable: stable ? await bundleOf(policies, stable.ref) : null,
      candidate: candidate ? await bundleOf(policies, candidate.ref) : null,
      ...view,
    },
  };
};

const readShared = async (
  { store }: PlatformPolicies,
  own: RolloutState | undefined,
  nowMs: number,
): Promise<{ state: RolloutState | undefined; reports: readonly ReplicaReport[] }> => {
  const reports = await store.replicas(nowMs, SHOWN_MS);
  return { state: own && ((await store.read(own.key)) ?? own), reports };
};

const bundleOf = async (policies: PlatformPolicies, ref: BundleRef): Promise<object> => {
  const known = await policies.bundle(ref.digest).catch(() => undefined);
  return {
    revision: ref.revision,
    digest: ref.digest,
    sequence: known?.sequence ?? null,
    signer: known?.signer ?? null,
  };
};

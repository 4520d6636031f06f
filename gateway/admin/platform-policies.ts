import { readBundle } from '../policy/bundle.ts';
import { createBundleStore } from '../policy/bundle-store.ts';
import type { RolloutStore } from '../policy/rollout-state.ts';
import { type PublicKeys, type SignatureClaims, verifySignature } from '../policy/signature.ts';
import type { FollowedSource, ShownPolicies } from '../policy/source.ts';

/** A bundle of which a gateway has the bytes. */
export interface KnownBundle {
  readonly sequence: number;
  /** What its signer said, beside the hashes: keyid, iss, commit, builder … Null where no trusted key says so any more. */
  readonly signer: SignatureClaims | null;
}

/** What the control plane tells of policies, of this gateway and all that share its store. */
export interface PlatformPolicies {
  shown(): ShownPolicies;
  readonly store: Pick<RolloutStore, 'read' | 'replicas'>;
  /** Undefined where this gateway never had it active or as a candidate. Rejects when its file was altered. */
  bundle(digest: string): Promise<KnownBundle | undefined>;
}

export interface PlatformPoliciesOptions {
  readonly source: Pick<FollowedSource, 'shown'>;
  readonly store: RolloutStore;
  /** Where bundles are kept. */
  readonly home: string;
  readonly publicKeys: PublicKeys;
}

const MOST_REMEMBERED = 16;

/** The policies of an open gateway. */
export const createPlatformPolicies = ({
  source,
  store,
  home,
  publicKeys,
}: PlatformPoliciesOptions): PlatformPolicies => {
  const bundles = createBundleStore(home);
  const known = new Map<string, KnownBundle>();
  return {
    store,
    shown: () => source.shown(),
    async bundle(digest) {
      const remembered = known.get(digest);
      if (remembered) return remembered;
      const packed = await bundles.readPacked(digest);
      if (packed === undefined) return undefined;
      const bundle = await readBundle(packed);
      if (bundle.digest !== digest) throw new Error(`the stored bundle ${digest} was altered`);
      // It may have expired since it was activated: who signed it is asked here, not whether it may be.
      const signer = await verifySignature(bundle, publicKeys, new Date(0)).catch(() => null);
      if (known.size >= MOST_REMEMBERED) known.clear();
      const found = { sequence: bundle.manifest.metadata.aegis.sequence, signer };
      known.set(digest, found);
      return found;
    },
  };
};

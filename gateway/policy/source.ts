import { parse } from 'yaml';
import { INPUT_SCHEMA_SHA256, preparePolicy } from './activate.ts';
import { MAX_BUNDLE_BYTES, sha256 } from './bundle.ts';
import { createBundleStore } from './bundle-store.ts';
import type { MeteredPolicy } from './engine.ts';
import type { EvaluatorOptions } from './evaluator.ts';
import type { BundleOrigin } from './origin.ts';
import type { PolicySource } from './policy.ts';
import { checkRollout } from './shapes.ts';
import type { PublicKeys } from './signature.ts';

/** The file of a bundle folder that names what serves. */
export const ROLLOUT_FILE = 'rollout.yaml';
const MAX_ROLLOUT_BYTES = 64 * 1024;

/** Something that happened to the policy; for the audit and the log. */
export interface PolicyEvent {
  event: 'bundle_activated' | 'bundle_refused' | 'bundle_schema_differs';
  detail: Record<string, string | number | boolean>;
}

export interface PolicySourceOptions extends EvaluatorOptions {
  /** Where bundles are found, and rollout.yaml. */
  origin: BundleOrigin;
  /** Who may sign, see readPublicKeys. */
  publicKeys: PublicKeys;
  /** The gateway's home: the high-water mark and the last known good bundle are in `<home>/policy/`. */
  home: string;
  onEvent: (event: PolicyEvent) => void;
}

/** A source that can be asked to look now. */
export interface FollowedSource extends PolicySource {
  /** Looks at the origin and swaps if there is something new and good. Never rejects; returns what serves then. */
  refresh(): Promise<MeteredPolicy | undefined>;
  /** Whether the last look found something that may not serve, or could not be made. */
  readonly isRefusing: boolean;
  /** When the origin was last read, rollout.yaml and the bundle it names, whatever was in them: ms since 1970; 0: never. */
  readonly freshMs: number;
}

/**
 * Serves the bundle that the origin's rollout.yaml names as stable, and follows it. A bundle is verified, warmed and kept
 * before it is swapped in between two requests; a bad one changes nothing but an event. When the origin has no good
 * bundle at the start, the last known good serves, verified again; without one, `current` is undefined.
 */
export const openPolicySource = async (options: PolicySourceOptions): Promise<FollowedSource> => {
  const { origin, publicKeys, home, onEvent } = options;
  const store = createBundleStore(home);
  let current: MeteredPolicy | undefined;
  let seen: string | undefined; // the content that was looked at last
  let told: string | undefined; // the refusal that was reported last
  let freshMs = 0;
  let closed = false;

  const activate = (policy: MeteredPolicy, source: string): void => {
    current = policy;
    const { sequence } = policy.manifest.metadata.aegis;
    onEvent({ event: 'bundle_activated', detail: { ...policy.ref, sequence, source } });
    // Not refused: an upgrade that adds a fact would need every bundle built anew. `min_gateway` guards the other way.
    const { input_schema_sha256: checkedAgainst } = policy.manifest.metadata.aegis;
    if (checkedAgainst !== INPUT_SCHEMA_SHA256) {
      const detail = { ...policy.ref, checked_against: checkedAgainst, gateway_has: INPUT_SCHEMA_SHA256 };
      onEvent({ event: 'bundle_schema_differs', detail });
    }
  };
  const refuse = (source: string, error: unknown): void =>
    onEvent({
      event: 'bundle_refused',
      detail: { source, reason: reasonOf(error), serving: current?.ref.digest ?? '' },
    });

  const look = async (): Promise<void> => {
    let file = origin.hasRollout ? ROLLOUT_FILE : '';
    let state = '';
    const startedMs = Date.now();
    try {
      if (origin.hasRollout) {
        const rollout = await origin.read(ROLLOUT_FILE, MAX_ROLLOUT_BYTES);
        state = sha256(rollout);
        const desired: unknown = parse(rollout.toString('utf8'));
        checkRollout(desired);
        file = desired.stable;
      }
      const packed = await origin.read(file, MAX_BUNDLE_BYTES);
      freshMs = startedMs;
      state = sha256(`${state} ${sha256(packed)}`);
      if (state === seen || closed) return;
      const mark = await store.readMark();
      const policy = await preparePolicy(packed, publicKeys, mark, options);
      if (policy.ref.digest !== current?.ref.digest) {
        await store.keep(packed, { sequence: policy.manifest.metadata.aegis.sequence, digest: policy.ref.digest });
        if (!closed) activate(policy, file || origin.place);
      }
    } catch (error) {
      // What is wrong with the content stays wrong; a full disk or a missing file is tried again, and told once.
      const passing = typeof (error as { code?: unknown } | null)?.code === 'string';
      seen = passing ? undefined : state;
      const failure = `${state} ${reasonOf(error)}`;
      if (failure !== told && !closed) refuse(file || origin.place, error);
      told = failure;
      return;
    }
    seen = state;
    told = undefined;
  };

  let queue: Promise<void> = Promise.resolve();
  const refresh = async (): Promise<MeteredPolicy | undefined> => {
    queue = queue.then(look);
    await queue;
    return current;
  };

  await refresh();
  if (current === undefined) {
    try {
      const mark = await store.readMark();
      const packed = mark && (await store.readPacked(mark.digest));
      if (mark !== undefined && packed !== undefined) {
        const policy = await preparePolicy(packed, publicKeys, mark, options);
        if (policy.ref.digest !== mark.digest) throw new Error('the stored bundle is not the one that was activated');
        activate(policy, 'last known good');
      }
    } catch (error) {
      refuse('last known good', error);
    }
  }
  const follower = origin.follow(refresh);
  return {
    get current() {
      return current;
    },
    get isRefusing() {
      return told !== undefined;
    },
    get freshMs() {
      return freshMs;
    },
    policyFor: () => current,
    observe: () => {},
    refresh,
    close: async () => {
      closed = true;
      follower.close();
      await queue;
    },
  };
};

const reasonOf = (error: unknown): string => {
  const message = (error as { message?: unknown } | null)?.message;
  return typeof message === 'string' ? message.slice(0, 1024) : 'unknown';
};

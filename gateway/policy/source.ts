import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { parse } from 'yaml';
import type { Rollout as DesiredRollout } from '../types.gen.ts';
import { activatableBundle, INPUT_SCHEMA_SHA256 } from './activate.ts';
import { type Bundle, MAX_BUNDLE_BYTES, sha256 } from './bundle.ts';
import { createBundleStore } from './bundle-store.ts';
import { createPolicy } from './engine.ts';
import type { EvaluatorOptions } from './evaluator.ts';
import type { BundleOrigin } from './origin.ts';
import type { Policy, PolicySource } from './policy.ts';
import { type Candidate, createRollout, type RolloutEvent, type RolloutStatus } from './rollout.ts';
import { createRolloutMemory } from './rollout-memory.ts';
import { planOf } from './rollout-plan.ts';
import type { RolloutStore } from './rollout-state.ts';
import { checkRollout } from './shapes.ts';
import type { PublicKeys } from './signature.ts';

/** The file of a bundle folder that names what serves. */
export const ROLLOUT_FILE = 'rollout.yaml';
const MAX_ROLLOUT_BYTES = 64 * 1024;
/** Looks in a row at an origin that is exchanged meanwhile. */
const MAX_LOOKS = 3;

/** Something that happened to the policy; for the audit and the log. */
export interface PolicyEvent {
  event: 'bundle_activated' | 'bundle_refused' | 'bundle_schema_differs' | RolloutEvent['event'];
  detail: Record<string, string | number | boolean>;
}

export interface PolicySourceOptions extends EvaluatorOptions {
  /** Where bundles are found, and rollout.yaml. */
  origin: BundleOrigin;
  /** Who may sign, see readPublicKeys. */
  publicKeys: PublicKeys;
  /** The gateway's home: the high-water mark, bundles and what became of rollouts are in `<home>/policy/`. */
  home: string;
  /** Where gateways share a rollout; absent: this one is alone. */
  rollouts?: RolloutStore;
  /** Names this gateway among those of the store. Default: host, process and a few digits. */
  replica?: string;
  onEvent: (event: PolicyEvent) => void;
}

/** A source that can be asked to look now. */
export interface FollowedSource extends PolicySource {
  /** Looks at the origin and swaps if there is something new and good. Never rejects; returns what serves then. */
  refresh(): Promise<Policy | undefined>;
  /** Judges the rollout and looks at the other gateways now, as happens every second. Never rejects. */
  beat(): Promise<void>;
  /** Where the rollout stands; `stage` is null without one. */
  rollout(): RolloutStatus;
  /** What serves, what is asked for, and why it is not what serves: as of the last look. */
  shown(): ShownPolicies;
  /** Whether the last look found something that may not serve, or could not be made. */
  readonly isRefusing: boolean;
  /** When the origin was last read, rollout.yaml and the bundle it names, whatever was in them: ms since 1970; 0: never. */
  readonly freshMs: number;
}

/** The policies of a gateway, for who looks at them. */
export interface ShownPolicies {
  /** Names this gateway among those of its store. */
  readonly replica: string;
  readonly stable: Policy | undefined;
  readonly candidate: Candidate | null;
  /** What the origin's rollout.yaml says; null without one. */
  readonly desired: DesiredRollout | null;
  readonly problem: string | null;
}

/** What a look at the origin found. */
interface Found {
  /** Of rollout.yaml; null without one. */
  readonly text: Buffer | null;
  readonly desired: DesiredRollout | null;
  readonly packed: Buffer;
  /** Null when the file names none. */
  readonly candidate: { readonly file: string; readonly packed: Buffer | { readonly unread: unknown } } | null;
}

/**
 * Serves the bundle that the origin's rollout.yaml names as stable, beside it the candidate as far as its rollout is, and
 * follows the file. A bundle is verified, warmed and kept before it is swapped in between two requests; a bad one changes
 * nothing but an event. When the origin has no good bundle at the start, the last known good serves, verified again; without
 * one, `current` is undefined.
 */
export const openPolicySource = async (options: PolicySourceOptions): Promise<FollowedSource> => {
  const { origin, publicKeys, home, onEvent } = options;
  const store = createBundleStore(home);
  const memory = createRolloutMemory(home, options.rollouts);
  let seen: string | undefined; // the content that was looked at last
  let refusal: { readonly of: string; readonly reason: string } | undefined; // what was reported last
  let desired: DesiredRollout | null = null; // what was asked for last
  let freshMs = 0;
  let closed = false;
  const replica = options.replica ?? `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`;
  const rollout = createRollout({
    replica,
    store: options.rollouts,
    memory,
    onEvent: (event) => {
      if (!closed) onEvent(event);
    },
    problem: () => refusal?.reason ?? null,
  });

  const activate = (policy: Policy, source: string): void => {
    rollout.serve(policy, null);
    const { sequence } = policy.manifest.metadata.aegis;
    onEvent({ event: 'bundle_activated', detail: { ...policy.ref, sequence, source } });
    tellSchema(policy);
  };
  /** Not refused: an upgrade that adds a fact would need every bundle built anew. `min_gateway` guards the other way. */
  const tellSchema = (policy: Policy): void => {
    const { input_schema_sha256: checkedAgainst } = policy.manifest.metadata.aegis;
    if (checkedAgainst === INPUT_SCHEMA_SHA256) return;
    const detail = { ...policy.ref, checked_against: checkedAgainst, gateway_has: INPUT_SCHEMA_SHA256 };
    onEvent({ event: 'bundle_schema_differs', detail });
  };
  const refuse = (source: string, error: unknown, more: PolicyEvent['detail'] = {}): void => {
    const detail = { source, reason: reasonOf(error), serving: rollout.current?.ref.digest ?? '', ...more };
    onEvent({ event: 'bundle_refused', detail });
  };

  /** The policy of a verified bundle: the one in use, or a new one. */
  const load = async (bundle: Bundle): Promise<Policy> => {
    const inUse = [rollout.stable, rollout.candidate?.policy].find((policy) => policy?.ref.digest === bundle.digest);
    return inUse ?? (await createPolicy(bundle, options));
  };
  const verified = async (packed: Uint8Array): Promise<Bundle> =>
    activatableBundle(packed, publicKeys, await store.readMark());

  const takeStable = async (packed: Buffer, source: string): Promise<Policy> => {
    const bundle = await verified(packed);
    const policy = await load(bundle);
    if (bundle.digest !== rollout.stable?.ref.digest) {
      await store.keep(packed, { sequence: bundle.manifest.metadata.aegis.sequence, digest: bundle.digest });
      if (!closed) activate(policy, source);
    }
    return policy;
  };

  const takeCandidate = async (desired: DesiredRollout, packed: Buffer, stable: Policy): Promise<void> => {
    const bundle = await verified(packed);
    const ref = { digest: bundle.digest, revision: bundle.manifest.revision };
    if (ref.digest === stable.ref.digest) throw new Error('rollout.yaml: the candidate is the stable bundle');
    const plan = planOf(desired, stable.ref.digest, ref.digest);
    const isKnown = rollout.candidate?.plan.key === plan.key;
    const isFull = plan.steps[0].stage === 'full';
    const baseline = isFull ? rollout.baseline(stable.ref.digest) : null;
    const begin = { key: plan.key, step: 0, sinceMs: Date.now(), baseline, rolledBack: null };
    const state = await memory.recall(begin);
    const policy = state.rolledBack ? null : await load(bundle);
    await store.keepCandidate(packed, ref.digest);
    if (closed) return;
    if (policy && !isKnown) tellSchema(policy);
    rollout.serve(stable, { ref, policy, plan, state });
  };

  const failed = (of: string, file: string, error: unknown, more: PolicyEvent['detail'] = {}): void => {
    // What is wrong with the content stays wrong; a full disk or a missing file is tried again, and told once.
    const isPassing = typeof (error as { code?: unknown } | null)?.code === 'string';
    seen = isPassing ? undefined : of;
    const reason = reasonOf(error);
    if ((refusal?.of !== of || refusal.reason !== reason) && !closed) refuse(file, error, more);
    refusal = { of, reason };
  };

  const lookAgain = (looks: number): Promise<void> => {
    if (looks < MAX_LOOKS) return look(looks + 1);
    throw Object.assign(new Error(`${ROLLOUT_FILE}: changes whenever it is read`), { code: 'CHANGING' });
  };
  const look = async (looks = 1): Promise<void> => {
    const at = { file: origin.hasRollout ? ROLLOUT_FILE : '', content: '' };
    let found: Found;
    let stable: Policy;
    try {
      const startedMs = Date.now();
      found = await readOrigin(origin, at);
      freshMs = startedMs;
      if (at.content === seen || closed) return;
      // Else a bundle of one commit could serve at the stage that another gives its name.
      if (await isReplaced(origin, found)) return await lookAgain(looks);
      desired = found.desired;
      stable = await takeStable(found.packed, at.file || origin.place);
    } catch (error) {
      failed(at.content, at.file || origin.place, error);
      return;
    }
    const { candidate } = found;
    try {
      if (found.desired === null || candidate === null) {
        if (!closed) rollout.serve(stable, null);
      } else if (Buffer.isBuffer(candidate.packed)) await takeCandidate(found.desired, candidate.packed, stable);
      else throw candidate.packed.unread;
    } catch (error) {
      // A rollout between the same stable and another candidate goes on: a bad bundle changes nothing.
      failed(at.content, candidate?.file ?? '', error, { as: 'candidate' });
      return;
    }
    seen = at.content;
    refusal = undefined;
  };

  let queue: Promise<void> = Promise.resolve();
  let waiting: Promise<void> | undefined;
  /** Whoever asks while a look waits for its turn shares it: a source that hangs gathers no queue. */
  const refresh = async (): Promise<Policy | undefined> => {
    waiting ??= queue.then(() => {
      waiting = undefined;
      return look();
    });
    queue = waiting;
    await waiting;
    return rollout.current;
  };

  await refresh();
  if (rollout.current === undefined) {
    try {
      const mark = await store.readMark();
      const packed = mark && (await store.readPacked(mark.digest));
      if (mark !== undefined && packed !== undefined) {
        const policy = await load(await verified(packed));
        if (policy.ref.digest !== mark.digest) throw new Error('the stored bundle is not the one that was activated');
        activate(policy, 'last known good');
      }
    } catch (error) {
      refuse('last known good', error);
    }
  }
  const follower = origin.follow(refresh);
  void rollout.beat();
  return {
    get current() {
      return rollout.current;
    },
    get isRefusing() {
      return refusal !== undefined;
    },
    get freshMs() {
      return freshMs;
    },
    policyFor: rollout.policyFor,
    observe: rollout.observe,
    rollout: rollout.status,
    shown: () => ({
      replica,
      stable: rollout.stable,
      candidate: rollout.candidate,
      desired,
      problem: refusal?.reason ?? null,
    }),
    beat: rollout.beat,
    refresh,
    close: async () => {
      closed = true;
      follower.close();
      await Promise.all([queue, rollout.close()]);
    },
  };
};

/**
 * Reads what the origin has. `at` tells how far it came: the file it was at, which is the stable bundle at the end, and a
 * digest of all contents so far. A candidate that cannot be read does not keep the stable bundle from serving.
 */
const readOrigin = async (origin: BundleOrigin, at: { file: string; content: string }): Promise<Found> => {
  let desired: DesiredRollout | null = null;
  let text: Buffer | null = null;
  if (origin.hasRollout) {
    text = await origin.read(ROLLOUT_FILE, MAX_ROLLOUT_BYTES);
    at.content = sha256(text);
    const value: unknown = parse(text.toString('utf8'));
    checkRollout(value);
    desired = value;
    at.file = value.stable;
  }
  const packed = await origin.read(at.file, MAX_BUNDLE_BYTES);
  at.content = sha256(`${at.content} ${sha256(packed)}`);
  if (desired?.candidate === undefined) return { text, desired, packed, candidate: null };
  const file = desired.candidate;
  const read = await origin.read(file, MAX_BUNDLE_BYTES).catch((unread: unknown) => ({ unread }));
  at.content = sha256(`${at.content} ${Buffer.isBuffer(read) ? sha256(read) : 'unread'}`);
  return { text, desired, packed, candidate: { file, packed: read } };
};

/** Whether rollout.yaml is another since the bundles were read that it names. */
const isReplaced = async (origin: BundleOrigin, { text }: Found): Promise<boolean> =>
  text !== null && !(await origin.read(ROLLOUT_FILE, MAX_ROLLOUT_BYTES)).equals(text);

const reasonOf = (error: unknown): string => {
  const message = (error as { message?: unknown } | null)?.message;
  return typeof message === 'string' ? message.slice(0, 1024) : 'unknown';
};

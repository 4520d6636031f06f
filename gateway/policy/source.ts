import { type FSWatcher, watch } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { INPUT_SCHEMA_SHA256, preparePolicy } from './activate.ts';
import { MAX_BUNDLE_BYTES, sha256 } from './bundle.ts';
import { createBundleStore } from './bundle-store.ts';
import type { MeteredPolicy } from './engine.ts';
import type { EvaluatorOptions } from './evaluator.ts';
import type { PolicySource } from './policy.ts';
import { checkRollout } from './shapes.ts';
import type { PublicKeys } from './signature.ts';

/** The file of a bundle folder that names what serves. */
export const ROLLOUT_FILE = 'rollout.yaml';
const MAX_ROLLOUT_BYTES = 64 * 1024;
/** A folder is written in several steps: wait until they are done. */
const SETTLE_MS = 50;

/** Something that happened to the policy; for the audit and the log. */
export interface PolicyEvent {
  event: 'bundle_activated' | 'bundle_refused' | 'bundle_schema_differs';
  detail: Record<string, string | number | boolean>;
}

export interface PolicySourceOptions extends EvaluatorOptions {
  /** Folder with rollout.yaml and bundles. */
  folder: string;
  /** Who may sign, see readPublicKeys. */
  publicKeys: PublicKeys;
  /** The gateway's home: the high-water mark and the last known good bundle are in `<home>/policy/`. */
  home: string;
  /** Seconds between two looks at the folder; a watch usually notices at once. */
  pollS: number;
  onEvent: (event: PolicyEvent) => void;
}

/** A source that can be asked to look now. */
export interface FolderSource extends PolicySource {
  /** Looks at the folder and swaps if there is something new and good. Never rejects; returns what serves then. */
  refresh(): Promise<MeteredPolicy | undefined>;
  /** Whether the last look found something that may not serve, or could not be made. */
  readonly isRefusing: boolean;
}

/**
 * Serves the bundle that `<folder>/rollout.yaml` names as stable, and follows it. A bundle is verified, warmed and kept
 * before it is swapped in between two requests; a bad one changes nothing but an event. When the folder has no good
 * bundle at the start, the last known good serves, verified again; without one, `current` is undefined.
 */
export const openPolicySource = async (options: PolicySourceOptions): Promise<FolderSource> => {
  const { folder, publicKeys, home, onEvent } = options;
  const store = createBundleStore(home);
  let current: MeteredPolicy | undefined;
  let seen: string | undefined; // the content that was looked at last
  let told: string | undefined; // the refusal that was reported last
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
    let file = ROLLOUT_FILE;
    let state = '';
    try {
      const rollout = await readBounded(join(folder, ROLLOUT_FILE), MAX_ROLLOUT_BYTES);
      state = sha256(rollout);
      const desired: unknown = parse(rollout.toString('utf8'));
      checkRollout(desired);
      file = desired.stable;
      const packed = await readBounded(join(folder, file), MAX_BUNDLE_BYTES);
      state = sha256(`${state} ${sha256(packed)}`);
      if (state === seen || closed) return;
      const mark = await store.readMark();
      const policy = await preparePolicy(packed, publicKeys, mark, options);
      if (policy.ref.digest !== current?.ref.digest) {
        await store.keep(packed, { sequence: policy.manifest.metadata.aegis.sequence, digest: policy.ref.digest });
        if (!closed) activate(policy, file);
      }
    } catch (error) {
      // What is wrong with the content stays wrong; a full disk or a missing file is tried again, and told once.
      const passing = typeof (error as { code?: unknown } | null)?.code === 'string';
      seen = passing ? undefined : state;
      const failure = `${state} ${reasonOf(error)}`;
      if (failure !== told && !closed) refuse(file, error);
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
  const follower = followFolder(folder, options.pollS * 1000, refresh);
  return {
    get current() {
      return current;
    },
    get isRefusing() {
      return told !== undefined;
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

/** Calls `look` when the folder changes, and on a slow beat: a watch misses some changes, and ends with its folder. */
const followFolder = (folder: string, beatMs: number, look: () => Promise<unknown>): { close(): void } => {
  let watcher: FSWatcher | undefined;
  let settling: NodeJS.Timeout | undefined;
  const startWatch = (): void => {
    try {
      watcher = watch(folder, { persistent: false }, () => {
        clearTimeout(settling);
        settling = setTimeout(() => void look(), SETTLE_MS).unref();
      });
      watcher.on('error', stopWatch);
    } catch {
      watcher = undefined; // the beat tries again
    }
  };
  const stopWatch = (): void => {
    watcher?.close();
    watcher = undefined;
  };
  startWatch();
  const beat = setInterval(() => {
    if (watcher === undefined) startWatch();
    void look();
  }, beatMs).unref();
  return {
    close: () => {
      clearInterval(beat);
      clearTimeout(settling);
      stopWatch();
    },
  };
};

const readBounded = async (path: string, limit: number): Promise<Buffer> => {
  const { size } = await stat(path);
  if (size > limit) throw new Error(`${path} is larger than ${limit} bytes`);
  return readFile(path);
};

const reasonOf = (error: unknown): string => {
  const message = (error as { message?: unknown } | null)?.message;
  return typeof message === 'string' ? message.slice(0, 1024) : 'unknown';
};

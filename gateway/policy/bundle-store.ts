import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Bundle, readBundle } from './bundle.ts';

/** The highest sequence that was ever activated, and the digest of its bundle: the last known good. */
export interface HighWaterMark {
  sequence: number;
  digest: string;
}

/**
 * What a gateway remembers of its bundles, in `<home>/policy/`: the high-water mark, and every activated bundle by its
 * digest, so that a restart can serve without the source and `explain` finds the rules of an old decision.
 */
export interface BundleStore {
  /** Undefined before the first activation. Throws an Error when the file is there and damaged. */
  readMark(): Promise<HighWaterMark | undefined>;
  /** Keeps a candidate, durably: it may decide and be explained, and does not raise the mark. */
  keepCandidate(packed: Uint8Array, digest: string): Promise<void>;
  /** Keeps an activated bundle, then raises the mark; both durable when it returns. */
  keep(packed: Uint8Array, mark: HighWaterMark): Promise<void>;
  /** The packed bundle, undefined if it never was active or a candidate here. Its signature is for the caller to verify. */
  readPacked(digest: string): Promise<Buffer | undefined>;
}

/** The store in `<home>/policy/`. Creates folders when something is kept. */
export const createBundleStore = (home: string): BundleStore => {
  const folder = join(home, 'policy');
  const markFile = join(folder, 'mark.json');
  const bundleFile = (digest: string): string => join(folder, 'bundles', `${digest}.tar.gz`);
  const readMark = async (): Promise<HighWaterMark | undefined> => {
    const text = await readIfThere(markFile);
    return text === undefined ? undefined : parseMark(text.toString('utf8'), markFile);
  };
  return {
    readMark,
    keepCandidate: async (packed, digest) => {
      const kept = await readIfThere(bundleFile(digest));
      if (!kept?.equals(packed)) await writeDurably(bundleFile(digest), packed);
    },
    keep: async (packed, mark) => {
      await writeDurably(bundleFile(mark.digest), packed);
      // Another process of this home may have gone further meanwhile: the mark never falls.
      const present = await readMark();
      if (present !== undefined && present.sequence > mark.sequence) {
        throw new Error(`sequence ${mark.sequence} is below the high-water mark ${present.sequence}`);
      }
      if (present?.digest !== mark.digest) await writeDurably(markFile, Buffer.from(`${JSON.stringify(mark)}\n`));
    },
    readPacked: async (digest) => {
      if (!/^[0-9a-f]{64}$/.test(digest)) return undefined;
      return readIfThere(bundleFile(digest));
    },
  };
};

/**
 * The bundle that decided under `digest`, for explain: undefined if this home never activated it. Throws an Error when the
 * stored file is not that bundle any more.
 */
export const readStoredBundle = async (home: string, digest: string): Promise<Bundle | undefined> => {
  const packed = await createBundleStore(home).readPacked(digest);
  if (packed === undefined) return undefined;
  const bundle = await readBundle(packed);
  if (bundle.digest !== digest) throw new Error(`the stored bundle ${digest} was altered`);
  return bundle;
};

const parseMark = (text: string, file: string): HighWaterMark => {
  let mark: Partial<HighWaterMark> | null = null;
  try {
    mark = JSON.parse(text) as Partial<HighWaterMark> | null;
  } catch {
    // said below
  }
  const { sequence, digest } = mark ?? {};
  if (!Number.isSafeInteger(sequence) || typeof digest !== 'string' || !/^[0-9a-f]{64}$/.test(digest)) {
    throw new Error(`${file} is damaged: without the high-water mark an older bundle could come back`);
  }
  return { sequence: sequence as number, digest };
};

const readIfThere = async (path: string): Promise<Buffer | undefined> => {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
    throw error;
  }
};

/** Writes beside, syncs, renames: a reader sees the old or the new file, also after a crash. */
export const writeDurably = async (path: string, bytes: Uint8Array, mode = 0o644): Promise<void> => {
  await mkdir(dirname(path), { recursive: true });
  const beside = `${path}.${process.pid}.${Date.now()}.new`;
  try {
    const file = await open(beside, 'w', mode);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};

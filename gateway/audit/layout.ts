import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

const SEGMENT_FILE = /^(\d{10})\.log$/;
const CONTENT_NAME = /^(\d{4}-\d{2}-\d{2})-r(\d{1,5})-(\d{1,9})$/;
const DAY_MS = 86_400_000;

/** Where everything of one audit log lies; docs/audit.md describes each file. */
export interface AuditLayout {
  readonly root: string;
  readonly lock: string;
  readonly chain: string;
  readonly content: string;
  readonly keys: string;
  readonly erasures: string;
  readonly checkpoints: string;
  readonly checkpointKey: string;
  readonly checkpointPublicKey: string;
}

/** The layout of the audit log in `home`. */
export const auditLayout = (home: string): AuditLayout => {
  const root = join(home, 'audit');
  return {
    root,
    lock: join(root, 'lock'),
    chain: join(root, 'chain'),
    content: join(root, 'content'),
    keys: join(root, 'keys'),
    erasures: join(root, 'erasures'),
    checkpoints: join(root, 'checkpoints'),
    checkpointKey: join(root, 'checkpoint.key'),
    checkpointPublicKey: join(root, 'checkpoint.pub'),
  };
};

/** The file of a chain segment. */
export const segmentPath = (layout: AuditLayout, segment: number): string =>
  join(layout.chain, `${String(segment).padStart(10, '0')}.log`);

/** The numbers of the chain's segments, ascending; empty when there is no log. */
export const listSegments = async (layout: AuditLayout): Promise<number[]> => {
  const names = await listFolder(layout.chain);
  const numbers = names.map((name) => Number(SEGMENT_FILE.exec(name)?.[1] ?? Number.NaN));
  return numbers.filter((number) => !Number.isNaN(number)).sort((a, b) => a - b);
};

/** The names in a folder; empty when it does not exist. */
export const listFolder = async (path: string): Promise<string[]> => {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return [];
    throw error;
  }
};

/** What the name of a content segment says. */
export interface ContentName {
  readonly day: string;
  readonly retentionDays: number;
  readonly number: number;
  /** When its key is destroyed, milliseconds since 1970: at the latest a day after the retention of its newest content. */
  readonly expiresAt: number;
}

/** Reads a content segment's name; undefined for any other text, so that no record can name a path of its own. */
export const parseContentName = (name: string): ContentName | undefined => {
  const match = CONTENT_NAME.exec(name);
  if (!match) return undefined;
  const retentionDays = Number(match[2]);
  const day = match[1] as string;
  return {
    day,
    retentionDays,
    number: Number(match[3]),
    expiresAt: Date.parse(`${day}T00:00:00Z`) + (retentionDays + 1) * DAY_MS,
  };
};

/** The name of a content segment. */
export const contentName = (day: string, retentionDays: number, number: number): string =>
  `${day}-r${retentionDays}-${number}`;

/** The file that holds a content segment's encrypted frames. */
export const contentPath = (layout: AuditLayout, name: string): string => join(layout.content, `${name}.seg`);

/** The file that holds a content segment's key. */
export const keyPath = (layout: AuditLayout, name: string): string => join(layout.keys, `${name}.key`);

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { KeyTable } from './schema.ts';

/** The table of keys as it was at a moment: what a gateway serves from while its database is away. */
export interface KeySnapshot {
  readonly revision: string;
  /** When the database was last known to have it so, milliseconds since 1970. */
  readonly freshMs: number;
  /** Digests, never secrets; without keys that are revoked. */
  readonly rows: readonly KeyTable[];
}

/** The first line of the file; the second is the rows. */
interface Header {
  readonly aegis_keys: 1;
  readonly revision: string;
  readonly fresh_ms: number;
  readonly mac: string;
}

/** A key of 10,000 others is some 400 bytes: more than a gateway ever has. */
const MAX_BYTES = 256 * 1024 * 1024;

/** Writes a snapshot, whole or not at all, readable by the owner alone. */
export const writeKeySnapshot = async (file: string, pepper: Uint8Array, snapshot: KeySnapshot): Promise<void> => {
  const { revision, freshMs } = snapshot;
  const rows = JSON.stringify(snapshot.rows);
  const header: Header = { aegis_keys: 1, revision, fresh_ms: freshMs, mac: macOf(pepper, revision, freshMs, rows) };
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await writeFile(draft, `${JSON.stringify(header)}\n${rows}\n`, { mode: 0o600, flag: 'wx', flush: true });
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
};

/**
 * Reads a snapshot back. Undefined when there is none. Throws when it is not whole, was changed, or belongs to another
 * pepper: then nothing in it can be believed.
 */
export const readKeySnapshot = async (file: string, pepper: Uint8Array): Promise<KeySnapshot | undefined> => {
  let text: string;
  try {
    const bytes = await readFile(file);
    if (bytes.length > MAX_BYTES) throw damaged(file);
    text = bytes.toString('utf8');
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
  const [first = '', rows = ''] = text.split('\n', 2);
  const { revision, fresh_ms: freshMs, mac } = parseHeader(first, file);
  if (!isSame(mac, macOf(pepper, revision, freshMs, rows))) throw damaged(file);
  return { revision, freshMs, rows: JSON.parse(rows) as KeyTable[] };
};

const parseHeader = (line: string, file: string): Header => {
  try {
    const header = JSON.parse(line) as Partial<Header> | null;
    if (header?.aegis_keys === 1 && typeof header.revision === 'string' && Number.isSafeInteger(header.fresh_ms)) {
      return header as Header;
    }
  } catch {
    // Falls through: both are the same fault.
  }
  throw damaged(file);
};

const damaged = (file: string): Error => new Error(`the snapshot of keys ${file} is damaged, or of another pepper`);

const macOf = (pepper: Uint8Array, revision: string, freshMs: number, rows: string): string =>
  createHmac('sha256', pepper)
    .update(JSON.stringify(['aegis keys snapshot', revision, freshMs]))
    .update(rows)
    .digest('base64url');

const isSame = (one: unknown, other: string): boolean =>
  typeof one === 'string' && one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));

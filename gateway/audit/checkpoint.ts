import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { AuditDisk } from './disk.ts';
import type { AuditLayout } from './layout.ts';

/** What a checkpoint says: this log had this many records and this chain hash at this time. */
export interface Checkpoint {
  /** The log's id, 32 hex digits. */
  readonly log: string;
  readonly records: number;
  /** Chain hash of the last of them, hex. */
  readonly head: string;
  /** RFC 3339. */
  readonly time: string;
}

/** A checkpoint as found in a text, with what its signature line names. */
export interface SignedCheckpoint extends Checkpoint {
  readonly text: string;
  readonly keyName: string;
  readonly signature: Buffer;
}

/** The signer of one log's checkpoints. `verifierKey` is the public half, in the signed-note form `name+hash+key`. */
export interface CheckpointSigner {
  readonly verifierKey: string;
  sign(checkpoint: Checkpoint): string;
}

const ORIGIN = 'aegis-audit-chain';
/** The algorithm byte of Ed25519 in signed notes. */
const ED25519 = 1;
const KEY_BYTES = 32;

/**
 * A signed note (C2SP signed-note): the text, an empty line, and one signature line. The text is not a C2SP
 * tlog-checkpoint: this log is a chain, so its third line is a chain hash and not a tree's root.
 */
export const createCheckpointSigner = (key: KeyObject, name: string): CheckpointSigner => {
  const publicKey = rawPublicKey(createPublicKey(key));
  const id = keyId(name, publicKey);
  return {
    verifierKey: `${name}+${id.toString('hex')}+${Buffer.concat([Buffer.of(ED25519), publicKey]).toString('base64')}`,
    sign(checkpoint) {
      const text = checkpointText(checkpoint);
      const signature = Buffer.concat([id, sign(null, Buffer.from(text), key)]);
      return `${text}\n— ${name} ${signature.toString('base64')}\n`;
    },
  };
};

const checkpointText = (checkpoint: Checkpoint): string => {
  const head = Buffer.from(checkpoint.head, 'hex').toString('base64');
  return `${ORIGIN} ${checkpoint.log}\n${checkpoint.records}\n${head}\n${checkpoint.time}\n`;
};

const keyId = (name: string, publicKey: Buffer): Buffer =>
  hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(ED25519), publicKey]), 'buffer').subarray(0, 4);

const rawPublicKey = (key: KeyObject): Buffer => Buffer.from(String(key.export({ format: 'jwk' }).x), 'base64url');

const NOTE =
  /aegis-audit-chain ([0-9a-f]{32})\n(\d{1,15})\n([A-Za-z0-9+/]{43}=)\n([0-9TZ:.-]{20,32})\n\n— ([^\s+]{1,128}) ([A-Za-z0-9+/=]{92})\n/y;

/** Reads every checkpoint of a text, and what of the text is none. */
export const parseCheckpoints = (text: string): { checkpoints: SignedCheckpoint[]; rest: string } => {
  const checkpoints: SignedCheckpoint[] = [];
  let at = 0;
  for (;;) {
    while (text[at] === '\n' || text[at] === '\r') at++;
    NOTE.lastIndex = at;
    const match = NOTE.exec(text);
    if (!match) break;
    at = NOTE.lastIndex;
    const [note, log, records, head, time, keyName, signature] = match as unknown as [string, ...string[]];
    checkpoints.push({
      log: log as string,
      records: Number(records),
      head: Buffer.from(head as string, 'base64').toString('hex'),
      time: time as string,
      text: note.slice(0, note.indexOf('\n\n') + 1),
      keyName: keyName as string,
      signature: Buffer.from(signature as string, 'base64'),
    });
  }
  return { checkpoints, rest: text.slice(at) };
};

/** Gives a function that tells whether a checkpoint was signed by `verifierKey`. Throws when that is no such key. */
export const createCheckpointVerifier = (verifierKey: string): ((checkpoint: SignedCheckpoint) => boolean) => {
  const match = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(verifierKey.trim());
  const encoded = Buffer.from(match?.[3] ?? '', 'base64');
  const raw = encoded.subarray(1);
  if (!match || encoded[0] !== ED25519 || raw.length !== KEY_BYTES)
    throw new TypeError('not a verifier key: name+hash+key');
  const name = match[1] as string;
  const id = keyId(name, raw);
  if (id.toString('hex') !== match[2]) throw new TypeError('the hash in the verifier key does not belong to it');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' });
  return ({ text, keyName, signature }) =>
    keyName === name &&
    signature.subarray(0, 4).equals(id) &&
    verify(null, Buffer.from(text), key, signature.subarray(4));
};

/** The log's own signer; the key is made at the first start. */
export const openCheckpointSigner = async (
  layout: AuditLayout,
  disk: AuditDisk,
  log: string,
): Promise<CheckpointSigner> => {
  const name = `aegis-audit-${log.slice(0, 16)}`;
  const stored = await readText(layout.checkpointKey);
  const key = stored ? createPrivateKey(stored) : generateKeyPairSync('ed25519').privateKey;
  const signer = createCheckpointSigner(key, name);
  if (!stored) await replaceFile(disk, layout.checkpointKey, String(key.export({ type: 'pkcs8', format: 'pem' })));
  if ((await readText(layout.checkpointPublicKey))?.trim() !== signer.verifierKey) {
    await replaceFile(disk, layout.checkpointPublicKey, `${signer.verifierKey}\n`);
  }
  await disk.syncFolder(layout.root);
  return signer;
};

const replaceFile = async (disk: AuditDisk, path: string, text: string): Promise<void> => {
  const file = await disk.openAppend(path, false);
  try {
    await file.truncate(0);
    await file.append([Buffer.from(text)]);
    await file.sync();
  } finally {
    await file.close();
  }
};

/** The text of a file; undefined when it does not exist. */
export const readText = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
};

import { GatewayError, isGatewayError } from '../errors.ts';
import type { KeyPlace, KeyRecord, NewKey } from '../store/keys.ts';
import type { CreateKey, RotateKey } from '../types.gen.ts';
import type { Answer, KeyTarget, Operation } from './admin-operation.ts';
import { readQuery } from './query.ts';

const DEFAULT_LIMIT = 50;
const MOST_LISTED = 200;
const OVERLAP_S = 3_600;

/** GET /admin/v1/keys: `org`, `state` (active, which is the default, or all), `limit`, `cursor`. */
export const listKeys = async (operation: Operation): Promise<Answer> => {
  const query = readQuery(operation.query, ['org', 'state', 'limit', 'cursor']);
  const org = query.text('org');
  if (org !== undefined) operation.permit({ ...NO_KEY, org });
  const limit = query.integer('limit', 1, MOST_LISTED) ?? DEFAULT_LIMIT;
  const state = query.oneOf('state', ['active', 'all']) ?? 'active';
  const cursor = query.text('cursor');
  const now = Date.now();
  // One more than is wanted tells whether there are more.
  const found = await stored(
    operation.keys.page({
      org: org ?? operation.org,
      limit: limit + 1,
      after: cursor === undefined ? undefined : placeOf(cursor),
      activeAt: state === 'active' ? now : undefined,
    }),
  );
  const keys = found.slice(0, limit);
  const last = keys.at(-1);
  const next = found.length > limit && last ? cursorOf(last) : null;
  return {
    status: 200,
    body: { data: keys.map((key) => jsonOf(key, now)), has_more: next !== null, next_cursor: next },
  };
};

const NO_KEY = { team: '', user: '', roles: [], groups: [], workflows: [] };

/** POST /admin/v1/keys: the answer is the only place where the secret ever is. */
export const createKey = async (operation: Operation): Promise<Answer> => {
  const { org, team = '', user = '', roles, groups = [], workflows = [], expires } = operation.body as CreateKey;
  const target = { org: org ?? operation.caller?.org ?? '', team, user, roles, groups, workflows };
  const expiresMs = typeof expires === 'string' ? Date.parse(expires) : null;
  if (expiresMs !== null && !(expiresMs > Date.now())) throw invalid('expires', 'expires must be in the future.');
  operation.tell({ target });
  operation.permit(target);
  await operation.announce();
  const made = await stored(operation.keys.create(target, expiresMs));
  operation.tell({ key: made.key.id, target });
  return { status: 201, body: newJsonOf(made) };
};

/** POST /admin/v1/keys/{id}/rotate: a key for the same caller; the old one ends after the overlap. */
export const rotateKey = async (operation: Operation): Promise<Answer> => {
  const { overlap_s: overlapS = OVERLAP_S } = (operation.body ?? {}) as RotateKey;
  const key = await findKey(operation);
  const target = targetOf(key);
  operation.tell({ key: key.id, target });
  operation.permit(target);
  await operation.announce();
  const made = await stored(operation.keys.rotate(key.id, overlapS * 1000));
  operation.tell({ key: made.key.id, target });
  return { status: 201, body: newJsonOf(made) };
};

/** DELETE /admin/v1/keys/{id}: the key ends now; one that is revoked already stays as it is. */
export const revokeKey = async (operation: Operation): Promise<Answer> => {
  const key = await findKey(operation);
  const target = targetOf(key);
  operation.tell({ key: key.id, target });
  operation.permit(target);
  await operation.announce();
  return { status: 200, body: jsonOf(await stored(operation.keys.revoke(key.id)), Date.now()) };
};

/** POST /admin/v1/bootstrap: the first key, for the one-time token of `aegis init`. */
export const redeemToken = async (operation: Operation): Promise<Answer> => {
  const { keys, credential } = operation;
  // Only what will be done is announced: a stranger who guesses does not fill the log.
  if (!(await stored(keys.isRedeemable(credential)))) throw usedToken();
  await operation.announce();
  const made = await stored(keys.redeem(credential)).catch((error: unknown) => {
    throw isGatewayError(error) && error.code === 'not_found' ? usedToken() : error;
  });
  operation.tell({ key: made.key.id, target: targetOf(made.key) });
  return { status: 201, body: newJsonOf(made) };
};

const usedToken = (): GatewayError =>
  new GatewayError('invalid_credential', 'The token is unknown, used or expired.', {
    hint: './aegis init --force makes another.',
  });

/** The key of the path, in the organisations that the caller reaches. Another's is not found, as one that is not there. */
const findKey = async ({ keys, id, org }: Operation): Promise<KeyRecord> => {
  const key = await stored(keys.read(id, org));
  if (!key) throw new GatewayError('not_found', `There is no key ${id}.`);
  return key;
};

const targetOf = ({ org, team, user, roles, groups, workflows }: KeyRecord): KeyTarget => ({
  org,
  team,
  user,
  roles: [...roles],
  groups: [...groups],
  workflows: [...workflows],
});

const invalid = (param: string, message: string): GatewayError => new GatewayError('invalid_field', message, { param });

const isKeyError = (error: unknown): error is { code: string; message: string } =>
  (error as { name?: unknown } | null)?.name === 'KeyError';

/** What the store says of a key, as an answer; all else is the store's own trouble. */
const stored = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    throw storeError(error);
  }
};

const storeError = (error: unknown): GatewayError => {
  if (!isKeyError(error)) return new GatewayError('store_unavailable', 'The store of keys fails.', { cause: error });
  const message = `${error.message[0]?.toUpperCase()}${error.message.slice(1)}.`;
  return error.code === 'unknown_key'
    ? new GatewayError('not_found', message)
    : new GatewayError('invalid_field', message, { policyCode: error.code });
};

const newJsonOf = ({ key, secret }: NewKey): object => ({ ...jsonOf(key, Date.now()), secret });

/** A key as the control plane shows it, in the words of `aegis keys list --json`. */
const jsonOf = (key: KeyRecord, now: number): object => ({
  id: key.id,
  prefix: key.prefix,
  ...targetOf(key),
  created: isoOf(key.createdMs),
  expires: isoOf(key.expiresMs),
  revoked: isoOf(key.revokedMs),
  rotated_from: key.rotatedFrom,
  state: stateOf(key, now),
});

const stateOf = ({ revokedMs, expiresMs }: KeyRecord, now: number): 'active' | 'revoked' | 'expired' => {
  if (revokedMs !== null) return 'revoked';
  return expiresMs !== null && expiresMs <= now ? 'expired' : 'active';
};

const isoOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

const cursorOf = ({ createdMs, id }: KeyRecord): string => Buffer.from(`${createdMs} ${id}`).toString('base64url');

const placeOf = (cursor: string): KeyPlace => {
  const match = /^(\d{1,15}) ([\w-]{1,128})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (!match) throw invalid('cursor', 'cursor is not one that this list has given.');
  return { createdMs: Number(match[1]), id: match[2] as string };
};

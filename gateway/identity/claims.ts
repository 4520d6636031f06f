import { claimAt, parseClaimPath } from '../claim-path.ts';
import type { IssuerSettings } from '../config.ts';
import { GatewayError } from '../errors.ts';
import type { Input } from '../types.gen.ts';

type Caller = Input['caller'];
type Claims = IssuerSettings['claims'];

/** Bounds of schemas/input.json's caller. */
const MAX_CHARS = { org: 128, team: 128, user: 128, roles: 64, groups: 128, workflows: 64, scopes: 128 } as const;
const MAX_LIST = { roles: 32, groups: 64, workflows: 64, scopes: 64 } as const;
const LONGEST_CLAIM = 256;
const CONTROL_OR_LONE_SURROGATE = /[\p{Cc}\p{Cs}]/u;

type One = 'org' | 'team' | 'user';
type Many = keyof typeof MAX_LIST;

/** Makes the caller of a verified payload. It throws GatewayError `invalid_credential` naming what the token lacks. */
export type CallerOf = (payload: object, id: string) => Caller;

/**
 * The mapping of an issuer's claims to a caller, prepared once. A policy sees all of a token or the token is refused:
 * nothing is cut. Throws Error for a path that is none.
 */
export const createCallerOf = ({
  claims,
  allow_claims: shown = [],
  allow_roles: allowed,
}: IssuerSettings): CallerOf => {
  const sources = Object.fromEntries(
    Object.entries(claims).map(([field, source]) => [field, sourceOf(source as Claims['org'] | Claims['roles'])]),
  );
  const claimPaths = shown.map((text) => ({ text, path: parseClaimPath(text) }));
  const roles = allowed && new Set(allowed);
  return (payload, id) => {
    const read = (field: One | Many): unknown => sources[field]?.(payload);
    const org = nameOf('org', read('org'));
    if (org === '') throw unmapped('The token names no organisation.');
    if (org.includes('/')) throw unmapped('The organisation that the token names has a slash.');
    const given = namesOf('roles', read('roles'));
    const caller: Caller = {
      kind: 'jwt',
      id,
      org,
      team: nameOf('team', read('team')),
      user: nameOf('user', read('user')),
      roles: roles ? given.filter((role) => roles.has(role)) : given,
      groups: namesOf('groups', read('groups')),
      workflows: namesOf('workflows', read('workflows')),
      scopes: namesOf('scopes', read('scopes')),
      claims: Object.fromEntries(claimPaths.flatMap(({ text, path }) => shownClaim(text, claimAt(payload, path)))),
    };
    for (const value of Object.values(caller)) Object.freeze(value);
    return Object.freeze(caller);
  };
};

const sourceOf = (source: Claims['org'] | Claims['roles']): ((payload: object) => unknown) => {
  if (typeof source === 'object') return () => source.value;
  const path = parseClaimPath(source as string);
  return (payload) => claimAt(payload, path);
};

/** The token is genuine, so its holder may know what is wrong with it. */
const unmapped = (message: string): GatewayError => new GatewayError('invalid_credential', message);

const nameOf = (field: One, value: unknown): string => {
  if (value === undefined) return '';
  if (typeof value !== 'string') throw unmapped(`The claim for ${field} is not a text.`);
  return checked(field, value);
};

/** An array of texts; or one text, of scopes several with spaces between them (RFC 8693). */
const namesOf = (field: Many, value: unknown): string[] => {
  if (value === undefined) return [];
  const names = typeof value === 'string' ? textNames(field, value) : value;
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
    throw unmapped(`The claim for ${field} is not a list of texts.`);
  }
  const unique = [...new Set(names as string[])];
  if (unique.length > MAX_LIST[field]) {
    throw unmapped(`The token has ${unique.length} ${field}; at most ${MAX_LIST[field]} can be taken.`);
  }
  return unique.map((name) => checked(field, name));
};

const textNames = (field: Many, value: string): string[] =>
  (field === 'scopes' ? value.split(' ') : [value]).filter((name) => name !== '');

const checked = (field: One | Many, name: string): string => {
  if (name.length > MAX_CHARS[field]) throw unmapped(`The claim for ${field} has over ${MAX_CHARS[field]} characters.`);
  if (CONTROL_OR_LONE_SURROGATE.test(name)) throw unmapped(`The claim for ${field} has control characters.`);
  return name;
};

const shownClaim = (text: string, value: unknown): [string, string | number | boolean][] => {
  if (value === undefined) return [];
  const isShort = typeof value === 'string' && value.length <= LONGEST_CLAIM;
  if (!isShort && typeof value !== 'number' && typeof value !== 'boolean') {
    throw unmapped(`The claim ${text} is not a text of at most ${LONGEST_CLAIM} characters, a number or a boolean.`);
  }
  return [[text, typeof value === 'string' ? value.toWellFormed() : value]];
};

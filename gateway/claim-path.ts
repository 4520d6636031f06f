/**
 * The names on the way to a claim: `realm_access.roles`, or as a JSON pointer (RFC 6901) where a name has dots itself:
 * `/https:~1~1example.org~1team`. Throws Error with the reason for a text that is neither.
 */
export const parseClaimPath = (text: string): readonly string[] => {
  const names = text.startsWith('/') ? pointer(text) : text.split('.');
  if (names.some((name) => name === '')) throw new Error('a name in it is empty');
  return names;
};

const pointer = (text: string): string[] => {
  if (/~(?![01])/.test(text)) throw new Error('~ is written ~0 and / is written ~1');
  return text
    .slice(1)
    .split('/')
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
};

/** What stands at a path in a token's payload; undefined when there is nothing, or null. Own members only. */
export const claimAt = (payload: object, path: readonly string[]): unknown => {
  let value: unknown = payload;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value ?? undefined;
};

import { GatewayError } from '../errors.ts';
import { MIRROR_TAG } from '../mirror-tag.ts';
import type { Input } from '../types.gen.ts';

// Bounds as in schemas/input.json; a test compares them.
const LONGEST = {
  'x-aegis-workflow': 64,
  'x-aegis-use-case': 64,
  'x-aegis-session': 128,
  'x-aegis-user': 128,
} as const;
const MOST_TAGS = 16;
const LONGEST_TAG_VALUE = 128;
const TAG_NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;

const NO_TAGS: Readonly<Record<string, string>> = Object.freeze({});

/** What the application says the call is for. Throws GatewayError `invalid_header` naming the header. */
export const readPurpose = (headers: ReadonlyMap<string, string>): Input['purpose'] => {
  const tags = headers.get('x-aegis-tags');
  return {
    workflow: text(headers, 'x-aegis-workflow'),
    use_case: text(headers, 'x-aegis-use-case'),
    session: text(headers, 'x-aegis-session'),
    tags: tags === undefined ? NO_TAGS : parseTags(tags),
  };
};

/** For whom the application says it calls, '' when it does not. Throws GatewayError `invalid_header`. */
export const readEndUser = (headers: ReadonlyMap<string, string>): string => text(headers, 'x-aegis-user');

const bad = (name: string, why: string): GatewayError =>
  new GatewayError('invalid_header', `The header ${name} ${why}.`, { param: name });

const text = (headers: ReadonlyMap<string, string>, name: keyof typeof LONGEST): string => {
  const value = headers.get(name);
  if (value === undefined) return '';
  const decoded = decode(name, value.trim());
  if (decoded.length > LONGEST[name]) throw bad(name, `is longer than ${LONGEST[name]} characters`);
  return decoded;
};

/** Node gives header bytes as Latin-1; what is not ASCII must be UTF-8. */
const decode = (name: string, value: string): string => {
  if (/^[\x20-\x7e]*$/.test(value)) return value;
  let decoded: string;
  try {
    decoded = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(value, 'latin1'));
  } catch {
    throw bad(name, 'is not UTF-8');
  }
  if (/\p{Cc}/u.test(decoded)) throw bad(name, 'has control characters');
  return decoded;
};

/** `course=CS101,institution=MIT`. */
const parseTags = (value: string): Record<string, string> => {
  const name = 'x-aegis-tags';
  const tags: Record<string, string> = {};
  if (value.trim() === '') return tags;
  const pairs = decode(name, value).split(',');
  if (pairs.length > MOST_TAGS) throw bad(name, `has more than ${MOST_TAGS} tags`);
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    if (equals < 0) throw bad(name, 'must be name=value pairs separated by commas');
    const tag = pair.slice(0, equals).trim();
    const content = pair.slice(equals + 1).trim();
    if (!TAG_NAME.test(tag)) throw bad(name, 'has a tag name that is not 1 to 64 letters, digits, dots, dashes');
    if (content.length > LONGEST_TAG_VALUE) throw bad(name, `has a value longer than ${LONGEST_TAG_VALUE} characters`);
    if (tag === MIRROR_TAG) throw bad(name, `has the tag ${tag}, which the gateway alone gives`);
    if (Object.hasOwn(tags, tag)) throw bad(name, `has the tag ${tag} twice`);
    tags[tag] = content;
  }
  return tags;
};

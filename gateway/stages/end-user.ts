import type { Call } from '../protocol/protocol.ts';
import type { Detector } from '../redact/redactor.ts';
import type { Input } from '../types.gen.ts';

/** For whom an application says it calls, as the input document has it. */
export type EndUser = Input['request']['end_user'];

/** Nobody was named. */
export const NO_END_USER: EndUser = Object.freeze({ name: '', source: 'none' });

/** Bound of schemas/input.json. */
const LONGEST_NAME = 128;
const ODD = /[\p{Cc}\p{Cs}]/u;

/**
 * The end user of a call: x-aegis-user, else what the body says in its API's own words. What a body says was not meant
 * for the policy and its records, so a name that is long, odd or personal data stands by its pseudonym.
 */
export const endUserOf = (
  header: string,
  call: Pick<Call, 'dialect' | 'body'>,
  detector: Detector,
  pseudonym: (name: string) => string,
): EndUser => {
  if (header !== '') return { name: header, source: 'header' };
  const name = namedIn(call);
  if (!name) return NO_END_USER;
  const isPlain = name.length <= LONGEST_NAME && !ODD.test(name) && detector.detect(name).length === 0;
  return { name: isPlain ? name : pseudonym(name), source: 'body' };
};

/**
 * OpenAI calls it `user`, of late `safety_identifier`; Anthropic `metadata.user_id`. Of another type it is the
 * provider's to judge.
 */
const namedIn = ({ dialect, body }: Pick<Call, 'dialect' | 'body'>): string | undefined => {
  if (dialect === 'openai') return textOf(body.user) || textOf(body.safety_identifier);
  const { metadata } = body;
  return typeof metadata === 'object' && metadata !== null
    ? textOf((metadata as { user_id?: unknown }).user_id)
    : undefined;
};

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

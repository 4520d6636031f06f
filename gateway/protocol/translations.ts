import type { Endpoint } from './protocol.ts';
import { chatToMessages } from './translate/chat-to-messages.ts';
import { composed } from './translate/composed.ts';
import { messagesToChat } from './translate/messages-to-chat.ts';
import { responsesToChat } from './translate/responses-to-chat.ts';
import type { Translation } from './translation.ts';

/** Every translation there is; of two from the same endpoint the one that loses less comes first. */
const TRANSLATIONS: readonly Translation[] = [
  chatToMessages,
  messagesToChat,
  responsesToChat,
  composed(responsesToChat, chatToMessages),
];

/**
 * The translation from a caller's endpoint to an upstream's; null where both are the same. Throws TypeError for a pair
 * that has none.
 */
export const translationOf = (from: Endpoint, to: Endpoint): Translation | null => {
  if (from === to) return null;
  const found = TRANSLATIONS.find((translation) => translation.from === from && translation.to === to);
  if (!found) throw new TypeError(`no translation from ${from} to ${to}`);
  return found;
};

/**
 * The wire format in which an upstream that speaks `endpoints` is asked for `wanted`: its own where it can be, else
 * the first there is a translation to; undefined where it cannot be asked.
 */
export const wireFor = (wanted: Endpoint, endpoints: readonly Endpoint[]): Endpoint | undefined =>
  endpoints.includes(wanted)
    ? wanted
    : TRANSLATIONS.find(({ from, to }) => from === wanted && endpoints.includes(to))?.to;

const ENDPOINTS = [
  'chat.completions',
  'responses',
  'completions',
  'embeddings',
  'messages',
  'messages.count_tokens',
] as const satisfies readonly Endpoint[];

/**
 * The endpoints that can be asked of an upstream that speaks `endpoints`. Tokens are counted for every model that
 * answers messages: by the gateway's own estimate where the upstream does not count.
 */
export const servedEndpoints = (endpoints: readonly Endpoint[]): Endpoint[] =>
  ENDPOINTS.filter(
    (wanted) =>
      wireFor(wanted, endpoints) !== undefined ||
      (wanted === 'messages.count_tokens' && wireFor('messages', endpoints) !== undefined),
  );

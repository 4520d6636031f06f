import type { Endpoint } from './protocol.ts';
import type { Translation } from './translation.ts';

/** The wire formats in which an endpoint can be asked of an upstream, its own first, then the one that loses least. */
const WIRES: Readonly<Record<Endpoint, readonly Endpoint[]>> = {
  'chat.completions': ['chat.completions', 'messages'],
  responses: ['responses', 'chat.completions', 'messages'],
  completions: ['completions'],
  embeddings: ['embeddings'],
  messages: ['messages', 'chat.completions'],
  'messages.count_tokens': ['messages.count_tokens'],
  models: [],
};

const TRANSLATIONS: readonly Translation[] = [];

/** The translation from a caller's endpoint to an upstream's; null where both are the same. Throws TypeError for a pair that has none. */
export const translationOf = (from: Endpoint, to: Endpoint): Translation | null => {
  if (from === to) return null;
  const found = TRANSLATIONS.find((translation) => translation.from === from && translation.to === to);
  if (!found) throw new TypeError(`no translation from ${from} to ${to}`);
  return found;
};

/** The wire format in which an upstream that speaks `endpoints` is asked for `wanted`; undefined where it cannot be. */
export const wireFor = (wanted: Endpoint, endpoints: readonly Endpoint[]): Endpoint | undefined =>
  WIRES[wanted].find((wire) => endpoints.includes(wire));

/**
 * The endpoints that can be asked of an upstream that speaks `endpoints`. Tokens are counted for every model that
 * answers messages: by the gateway's own estimate where the upstream does not count.
 */
export const servedEndpoints = (endpoints: readonly Endpoint[]): Endpoint[] => {
  const served = (Object.keys(WIRES) as Endpoint[]).filter((wanted) => wireFor(wanted, endpoints) !== undefined);
  if (served.includes('messages') && !served.includes('messages.count_tokens')) served.push('messages.count_tokens');
  return served;
};

import { isObject } from './fields.ts';
import { parsedEvents } from './stream-events.ts';

/**
 * Whether an answer, or one event of a streamed one, says that the model declined: a refusal in its own words, or a filter
 * of the provider's. Told by shape, for every wire format: chat completions (`refusal`, finish_reason `content_filter`),
 * responses (parts of type `refusal`, incomplete_details), messages (stop_reason `refusal`), and the 400 of a filter on
 * prompts. One that says no in ordinary text is not known. Sources: the API references of OpenAI, Azure and Anthropic.
 */
export const tellsRefusal = (said: unknown): boolean => {
  if (!isObject(said)) return false;
  return (
    said.stop_reason === 'refusal' ||
    (isObject(said.delta) && said.delta.stop_reason === 'refusal') ||
    (isObject(said.error) && said.error.code === FILTERED) ||
    (Array.isArray(said.choices) && said.choices.some(choiceRefuses)) ||
    responseRefuses(isObject(said.response) ? said.response : said) ||
    isRefusalPart(said.part)
  );
};

const FILTERED = 'content_filter';

const choiceRefuses = (choice: unknown): boolean => {
  if (!isObject(choice)) return false;
  if (choice.finish_reason === FILTERED) return true;
  const { message, delta } = choice;
  return (isObject(message) && isText(message.refusal)) || (isObject(delta) && isText(delta.refusal));
};

const responseRefuses = ({ incomplete_details: why, output }: Record<string, unknown>): boolean =>
  (isObject(why) && why.reason === FILTERED) ||
  (Array.isArray(output) &&
    output.some((item) => isObject(item) && Array.isArray(item.content) && item.content.some(isRefusalPart)));

const isRefusalPart = (part: unknown): boolean => isObject(part) && part.type === 'refusal';

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';

const NEEDLES = [Buffer.from('"refusal"'), Buffer.from(`"${FILTERED}"`)];

/**
 * Whether one of these events of a stream says so. Two searches of bytes: what holds neither word is not parsed. A quote
 * inside a text is escaped, so a text that talks of it does not look like it.
 */
export const refusedIn = (events: Buffer): boolean =>
  NEEDLES.some((needle) => events.includes(needle)) && parsedEvents(events).some(tellsRefusal);

import { GatewayError } from '../errors.ts';
import { isObject, type Json } from '../protocol/fields.ts';
import { offeredTools } from '../protocol/openai-responses-tools.ts';
import type { Call } from '../protocol/protocol.ts';

/**
 * Throws GatewayError `invalid_field` when a call names an object that is kept at the provider: the policy would judge
 * a request without seeing what the model reads, and organisations that share an account could reach each other's.
 */
export const checkStored = ({ endpoint, body }: Call): void => {
  if (endpoint === 'messages') {
    checkContainer(body);
    if (isSet(body.thread)) throw kept('thread', 'Send the whole conversation in messages.');
  }
  if (endpoint === 'chat.completions') checkGemini(body);
  if (endpoint !== 'responses') return;
  for (const [name, hint] of STATE) if (isSet(body[name])) throw kept(name, hint);
  if (isSet(body.background) && body.background !== false) {
    throw kept('background', 'Leave it out: an answer that is fetched later would not be accounted for.');
  }
  const cache = body.prompt_cache_options;
  if (isObject(cache) && isSet(cache.comparison_response_id)) {
    throw kept('prompt_cache_options.comparison_response_id', 'Leave it out.');
  }
  if (Array.isArray(body.input)) {
    for (let index = 0; index < body.input.length; index++) checkItem(body.input[index], `input[${index}]`);
  }
  for (const { tool, param } of offeredTools(body)) checkTool(tool, param);
};

const isSet = (value: unknown): boolean => value !== undefined && value !== null;

const WHOLE = 'Send the whole conversation in input, with store: false.';

/** Fields that continue what the provider has stored. Source: the reference of OpenAI's responses. */
const STATE = [
  ['previous_response_id', WHOLE],
  ['conversation', WHOLE],
  ['prompt', 'Send the text of the prompt in instructions or input.'],
] as const;

/** A prompt that Gemini has cached. Source: Google's page on its OpenAI surface. */
const checkGemini = ({ extra_body: extra }: Json): void => {
  if (isObject(extra) && isObject(extra.google) && isSet(extra.google.cached_content)) {
    throw kept('extra_body.google.cached_content', 'Send the content in messages.');
  }
};

/** Anthropic's container is an id, or an object with one; without an id the container is new. */
const checkContainer = ({ container }: Json): void => {
  if (typeof container === 'string') throw kept('container', CONTAINER);
  if (!isObject(container)) return;
  if (isSet(container.id)) throw kept('container.id', CONTAINER);
  checkSkills(container.skills, 'container.skills', (skill) => skill.type !== 'anthropic');
};

const CONTAINER = 'Leave it out: the provider makes a new container.';

const checkItem = (item: unknown, param: string): void => {
  if (!isObject(item)) return;
  if (isReference(item)) throw kept(param, WHOLE);
  if (isSet(item.container_id)) throw kept(`${param}.container_id`, 'Say the result as a text instead.');
  checkEnvironment(item.environment, `${param}.environment`);
};

/**
 * Whether an item has an id and nothing that it says itself. Without a type it is one, unless somebody speaks in it.
 */
const isReference = (item: Json): boolean => {
  if (item.type === 'item_reference' || (!isSet(item.type) && typeof item.role !== 'string')) return true;
  if (!isSet(item.id) || item.type === 'compaction_trigger') return false;
  for (const name in item) if (!SAYS_NOTHING.has(name) && isSet(item[name])) return false;
  return true;
};

const SAYS_NOTHING: ReadonlySet<string> = new Set(['id', 'type', 'status', 'role', 'phase']);

const checkTool = (tool: Json, param: string): void => {
  if (typeof tool.container === 'string') throw kept(`${param}.container`, 'Use {"type": "auto"}.');
  if (isSet(tool.vector_store_ids)) {
    throw kept(`${param}.vector_store_ids`, 'Search on your side, with a function, and send what was found.');
  }
  if (isSet(tool.tunnel_id)) throw kept(`${param}.tunnel_id`, 'Use server_url.');
  checkEnvironment(tool.environment, `${param}.environment`);
};

/** Where a shell runs: in a container that exists, or in a new one, with skills of the account in it. */
const checkEnvironment = (environment: unknown, param: string): void => {
  if (!isObject(environment)) return;
  if (environment.type === 'container_reference' || isSet(environment.container_id)) throw kept(param, CONTAINER);
  checkSkills(environment.skills, `${param}.skills`, isOwnSkill);
};

/** The provider's own skills are everybody's. */
const isOwnSkill = ({ skill_id: id }: Json): boolean =>
  isSet(id) && !(typeof id === 'string' && id.startsWith('openai-'));

const checkSkills = (skills: unknown, param: string, isOwn: (skill: Json) => boolean): void => {
  if (!Array.isArray(skills)) return;
  skills.forEach((skill: unknown, index: number) => {
    if (isObject(skill) && isOwn(skill))
      throw kept(`${param}[${index}]`, 'Use skills that are inline or the provider’s own.');
  });
};

const kept = (param: string, hint: string): GatewayError =>
  new GatewayError(
    'invalid_field',
    `This ${param} would use what is kept at the provider, which the policy does not see, so it cannot be used.`,
    { param, hint },
  );

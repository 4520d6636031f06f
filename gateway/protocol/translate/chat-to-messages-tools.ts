import { arrayField, invalidField, isObject, type Json, objectField } from '../fields.ts';
import { cannotSay, objectAt, onlyKnown, stringAt } from './chat-to-messages-fields.ts';
import { cacheControlOf } from './chat-to-messages-parts.ts';

/** The one member of the input of a tool that takes plain text, as custom tools do. */
export const CUSTOM_INPUT = 'input';

/** Names of the tools that take plain text: their calls are said as custom calls again. */
export const customToolNames = (body: Json): ReadonlySet<string> => {
  const names = new Set<string>();
  if (!Array.isArray(body.tools)) return names;
  for (const tool of body.tools) {
    if (isObject(tool) && isObject(tool.custom) && typeof tool.custom.name === 'string') names.add(tool.custom.name);
  }
  return names;
};

/** Whether a caller offers `functions`, the older form: its answer has `function_call`. */
export const offersFunctions = (body: Json): boolean => Array.isArray(body.functions) && body.functions.length > 0;

/** `tools`, `functions` and what is said of their choice, as `tools` and `tool_choice`. Throws `invalid_field`. */
export const addTools = (body: Json, out: Json): void => {
  const tools = [
    ...arrayField(body, 'tools').map((tool, index) => toolOf(tool, `tools[${index}]`)),
    ...arrayField(body, 'functions').map((entry, index) => functionTool(entry, `functions[${index}]`)),
  ];
  const choice = choiceOf(body, tools);
  if (tools.length === 0) return;
  out.tools = choice?.allowed ? tools.filter(({ name }) => choice.allowed!.has(name as string)) : tools;
  const said: Json = choice ? { type: choice.type, ...(choice.name === undefined ? {} : { name: choice.name }) } : {};
  // A function_call says one call at most.
  const isSingle = body.parallel_tool_calls === false || offersFunctions(body);
  if (isSingle && said.type !== 'none') {
    said.type ??= 'auto';
    said.disable_parallel_tool_use = true;
  }
  if (said.type !== undefined) out.tool_choice = said;
};

const TOOL: ReadonlySet<string> = new Set(['type', 'function', 'custom', 'cache_control']);
const FUNCTION: ReadonlySet<string> = new Set(['name', 'description', 'parameters', 'strict', 'cache_control']);
const CUSTOM: ReadonlySet<string> = new Set(['name', 'description', 'format']);

const toolOf = (tool: unknown, param: string): Json => {
  if (!isObject(tool)) throw invalidField(param, 'an object');
  onlyKnown(tool, TOOL, param);
  const type = tool.type ?? 'function';
  if (type !== 'function' && type !== 'custom') {
    throw cannotSay(`${param}.type`, 'it takes tools of the types function and custom');
  }
  const said = type === 'function' ? functionTool(tool.function, `${param}.function`) : customTool(tool, param);
  const control = cacheControlOf(tool, param);
  return control ? { ...said, cache_control: control } : said;
};

const functionTool = (entry: unknown, param: string): Json => {
  if (!isObject(entry)) throw invalidField(param, 'an object');
  onlyKnown(entry, FUNCTION, param);
  const control = cacheControlOf(entry, param);
  return {
    name: stringAt(entry, 'name', param),
    ...described(entry, param),
    input_schema: schemaOf(entry, param),
    ...(entry.strict === true ? { strict: true } : {}),
    ...(control ? { cache_control: control } : {}),
  };
};

/** An object's schema. OpenAI takes none, or an empty one, for a function without parameters. */
const schemaOf = (entry: Json, param: string): Json => {
  const schema = objectField(entry, 'parameters', `${param}.parameters`) ?? {};
  if (schema.type === 'object') return schema;
  if (schema.type !== undefined) throw cannotSay(`${param}.parameters.type`, 'the input of a tool is an object');
  return { type: 'object', ...(Object.keys(schema).length === 0 ? { properties: {} } : schema) };
};

/** A tool that takes plain text, as one whose input has it in a member. */
const customTool = (tool: Json, param: string): Json => {
  const custom = objectAt(tool, 'custom', param);
  onlyKnown(custom, CUSTOM, `${param}.custom`);
  const format = objectField(custom, 'format', `${param}.custom.format`);
  if (format && format.type !== 'text') {
    throw cannotSay(`${param}.custom.format`, 'it cannot hold a tool’s input to a grammar');
  }
  return {
    name: stringAt(custom, 'name', `${param}.custom`),
    ...described(custom, `${param}.custom`),
    input_schema: {
      type: 'object',
      properties: { [CUSTOM_INPUT]: { type: 'string' } },
      required: [CUSTOM_INPUT],
      additionalProperties: false,
    },
  };
};

const described = (entry: Json, param: string): Json =>
  entry.description === undefined || entry.description === null
    ? {}
    : { description: stringAt(entry, 'description', param) };

interface Choice {
  readonly type: 'auto' | 'any' | 'none' | 'tool';
  readonly name?: string;
  /** The tools that may be called, where not all that are offered. */
  readonly allowed?: ReadonlySet<string>;
}

const choiceOf = (body: Json, tools: readonly Json[]): Choice | undefined => {
  const param = (body.tool_choice ?? undefined) === undefined ? 'function_call' : 'tool_choice';
  const value = body[param] ?? undefined;
  if (value === undefined) return undefined;
  if (value === 'auto' || value === 'none') return { type: value };
  if (value !== 'required' && !isObject(value)) throw invalidField(param, 'a known choice');
  if (tools.length === 0) throw cannotSay(param, 'no tools are offered');
  if (value === 'required') return { type: 'any' };
  if (value.type === 'allowed_tools') return allowedChoice(value, tools, param);
  return { type: 'tool', name: nameOf(value, tools, param) };
};

const allowedChoice = (value: Json, tools: readonly Json[], param: string): Choice => {
  const at = `${param}.allowed_tools`;
  const allowed = objectAt(value, 'allowed_tools', param);
  if (allowed.mode !== 'auto' && allowed.mode !== 'required') throw invalidField(`${at}.mode`, 'auto or required');
  const names = arrayField(allowed, 'tools', `${at}.tools`).map((tool, index) => {
    if (!isObject(tool)) throw invalidField(`${at}.tools[${index}]`, 'an object');
    return nameOf(tool, tools, `${at}.tools[${index}]`);
  });
  if (names.length === 0) throw invalidField(`${at}.tools`, 'an array that is not empty');
  return { type: allowed.mode === 'auto' ? 'auto' : 'any', allowed: new Set(names) };
};

/** The offered tool that `{type, function: {name}}`, `{type, custom: {name}}` or `{name}` names. */
const nameOf = (choice: Json, tools: readonly Json[], param: string): string => {
  const kind = choice.type === undefined ? '' : choice.type;
  if (kind !== '' && kind !== 'function' && kind !== 'custom') throw invalidField(`${param}.type`, 'a known type');
  const name =
    kind === '' ? stringAt(choice, 'name', param) : stringAt(objectAt(choice, kind, param), 'name', `${param}.${kind}`);
  if (!tools.some((tool) => tool.name === name)) throw cannotSay(param, `no tool ${JSON.stringify(name)} is offered`);
  return name;
};

import { arrayField, invalidField, isObject, type Json } from './fields.ts';

/** The name under which a tool is offered and can be removed: of a tool without one, its type. */
export const openaiToolName = (tool: unknown, param: string): string => {
  if (!isObject(tool)) throw invalidField(param, 'an object');
  const kind = tool.type === undefined && isObject(tool.function) ? 'function' : tool.type;
  if (typeof kind !== 'string') throw invalidField(`${param}.type`, 'a string');
  const detail = tool[kind];
  if (kind === 'function' || kind === 'custom') {
    const name = isObject(detail) ? detail.name : undefined;
    if (typeof name !== 'string') throw invalidField(`${param}.${kind}.name`, 'a string');
    return name;
  }
  return typeof tool.name === 'string' ? tool.name : kind;
};

/** Whether the provider runs a tool itself. */
export const isServerTool = (tool: unknown): boolean =>
  isObject(tool) && tool.type !== undefined && tool.type !== 'function' && tool.type !== 'custom';

/** Web search is offered by a field of its own. */
export const WEB_SEARCH = 'web_search';

/** The names of all tools that a body offers, in order. */
export const toolNames = (body: Json): string[] => {
  const names: string[] = [];
  const tools = arrayField(body, 'tools');
  for (let index = 0; index < tools.length; index++) names.push(openaiToolName(tools[index], `tools[${index}]`));
  const functions = arrayField(body, 'functions');
  for (let index = 0; index < functions.length; index++)
    names.push(functionName(functions[index], `functions[${index}]`));
  if (isObject(body.web_search_options)) names.push(WEB_SEARCH);
  return names;
};

/** The name of an entry of `functions`, the older form of tools. */
export const functionName = (entry: unknown, param: string): string => {
  if (!isObject(entry) || typeof entry.name !== 'string') throw invalidField(`${param}.name`, 'a string');
  return entry.name;
};

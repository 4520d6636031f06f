import { arrayField, invalidField, isObject, type Json } from './fields.ts';

/** A tool that a body offers, and its place in it, such as `tools[0]` or `input[3].tools[0].tools[1]`. */
export interface OfferedTool {
  readonly tool: Json;
  readonly param: string;
}

/**
 * The name under which a tool is offered, chosen and removed: what the caller calls it, `mcp:` and its label for an MCP
 * server, and the kind of any other, whatever its version.
 */
export const responsesToolName = (tool: unknown, param: string): string => {
  if (!isObject(tool)) throw invalidField(param, 'an object');
  const { type } = tool;
  if (typeof type !== 'string') throw invalidField(`${param}.type`, 'a string');
  switch (type) {
    case 'function':
    case 'custom':
    case 'namespace':
      if (typeof tool.name !== 'string') throw invalidField(`${param}.name`, 'a string');
      return tool.name;
    case 'mcp':
      if (typeof tool.server_label !== 'string') throw invalidField(`${param}.server_label`, 'a string');
      return `mcp:${tool.server_label}`;
    default:
      return kindOf(type);
  }
};

/** One kind of tool has several names: of previews, and with dates. A rule on one holds for all. */
const kindOf = (type: string): string => {
  if (WEB_SEARCH.test(type)) return 'web_search';
  return type === 'computer_use_preview' || type === 'computer_use' ? 'computer' : type;
};

const WEB_SEARCH = /^web_search(?:_preview)?(?:_\d{4}_\d\d_\d\d)?$/;

/** Items of a conversation that bring tools with them, beside `tools`. */
export const isToolItem = (item: unknown): item is Json =>
  isObject(item) && (item.type === 'additional_tools' || item.type === 'tool_search_output');

/** All tools that a body offers, in order: those in `tools`, those in namespaces, and those that items bring. */
export const offeredTools = (body: Json): OfferedTool[] => {
  const offered: OfferedTool[] = [];
  const add = (holder: Json, param: string): void => {
    const tools = arrayField(holder, 'tools', param);
    for (let index = 0; index < tools.length; index++) {
      const tool = tools[index];
      const place = `${param}[${index}]`;
      if (!isObject(tool)) throw invalidField(place, 'an object');
      offered.push({ tool, param: place });
      if (tool.type === 'namespace') add(tool, `${place}.tools`);
    }
  };
  add(body, 'tools');
  if (Array.isArray(body.input)) {
    for (let index = 0; index < body.input.length; index++) {
      const item: unknown = body.input[index];
      if (isToolItem(item)) add(item, `input[${index}].tools`);
    }
  }
  return offered;
};

/** Whether the provider runs a tool itself. Of one that is newer than this file it is assumed. */
export const isServerTool = ({ tool }: OfferedTool): boolean => {
  switch (tool.type) {
    case 'tool_search':
      return tool.execution !== 'client';
    case 'shell':
      return isObject(tool.environment) && tool.environment.type !== 'local';
    default:
      return !RUN_BY_CALLER.has(tool.type);
  }
};

const RUN_BY_CALLER: ReadonlySet<unknown> = new Set([
  'function',
  'custom',
  'namespace',
  'local_shell',
  'apply_patch',
  'computer',
  'computer_use',
  'computer_use_preview',
]);

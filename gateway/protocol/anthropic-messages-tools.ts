import { arrayField, invalidField, isObject, type Json } from './fields.ts';

/** What a remote MCP server is called among tools: it brings tools whose names the body does not say. */
const mcpName = (name: string): string => `mcp:${name}`;

/** The name under which a tool is offered and can be removed: of a set of an MCP server's tools, the server's. */
export const anthropicToolName = (tool: unknown, param: string): string => {
  if (!isObject(tool)) throw invalidField(param, 'an object');
  if (tool.type === 'mcp_toolset' && typeof tool.mcp_server_name === 'string') return mcpName(tool.mcp_server_name);
  if (typeof tool.name !== 'string') throw invalidField(`${param}.name`, 'a string');
  return tool.name;
};

/** The name of an entry of `mcp_servers`. */
export const mcpServerName = (server: unknown, param: string): string => {
  if (!isObject(server) || typeof server.name !== 'string') throw invalidField(`${param}.name`, 'a string');
  return mcpName(server.name);
};

/** The names of all tools that a body offers, in order; an MCP server and its toolset are one. */
export const toolNames = (body: Json): string[] => {
  const tools = arrayField(body, 'tools').map((tool, index) => anthropicToolName(tool, `tools[${index}]`));
  const servers = arrayField(body, 'mcp_servers').map((server, index) =>
    mcpServerName(server, `mcp_servers[${index}]`),
  );
  return [...tools, ...new Set(servers).difference(new Set(tools))];
};

/** Whether the provider itself is to run a tool: one with a type of its own, but for those the caller runs. */
export const offersServerTool = (body: Json): boolean =>
  arrayField(body, 'mcp_servers').length > 0 ||
  arrayField(body, 'tools').some(
    (tool) =>
      isObject(tool) && typeof tool.type === 'string' && tool.type !== 'custom' && !RUN_BY_CALLER.test(tool.type),
  );

const RUN_BY_CALLER = /^(?:bash|text_editor|computer|memory)_\d+$/;

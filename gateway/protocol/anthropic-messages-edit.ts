import { anthropicToolName, mcpServerName } from './anthropic-messages-tools.ts';
import { append } from './append.ts';
import { isObject } from './fields.ts';
import { withoutOwnReasoning } from './own-reasoning.ts';
import type { Call, Edits, Splice } from './protocol.ts';
import { removeTools, type ToolList } from './remove-tools.ts';
import { setMember } from './set-member.ts';

/** The splices that carry out `edits` on a messages body. Usage is always in the answer. */
export const editAnthropicMessages = (call: Call, edits: Edits): Splice[] => {
  const splices: Splice[] = [];
  const set = (name: string, text: string): void => void splices.push(setMember(call, name, text));
  if (edits.model !== undefined) set('model', JSON.stringify(edits.model));
  if (edits.maxOutputTokens !== undefined) set('max_tokens', String(edits.maxOutputTokens));
  if (edits.kind !== undefined) append(splices, withoutOwnReasoning(call));
  if (edits.removeTools && edits.removeTools.length > 0)
    splices.push(...toolRemovals(call, new Set(edits.removeTools)));
  return splices;
};

const LISTS: readonly ToolList[] = [
  { field: 'tools', nameOf: anthropicToolName, dependents: ['tool_choice'] },
  { field: 'mcp_servers', nameOf: mcpServerName, dependents: [] },
];

/** Takes named tools out, and the tool choice that names one or has none left to choose from. */
const toolRemovals = (call: Call, removed: ReadonlySet<string>): Splice[] => {
  const choice = call.body.tool_choice;
  const isChosen = isObject(choice) && typeof choice.name === 'string' && removed.has(choice.name);
  return removeTools(call, LISTS, removed, isChosen ? ['tool_choice'] : []);
};

import { anthropicToolName, mcpServerName } from './anthropic-messages-tools.ts';
import { isObject } from './fields.ts';
import { elementRanges, memberRanges, removals } from './json-ranges.ts';
import type { Call, Edits, Splice } from './protocol.ts';

/** The splices that carry out `edits` on a messages body. Usage is always in the answer. */
export const editAnthropicMessages = (call: Call, edits: Edits): Splice[] => {
  const { members, end } = call.scan;
  const splices: Splice[] = [];
  const set = (name: string, text: string): void => {
    const member = members.get(name);
    if (member) splices.push({ start: member.start, end: member.end, text });
    else splices.push({ start: end, end, text: `,${JSON.stringify(name)}:${text}` });
  };
  if (edits.model !== undefined) set('model', JSON.stringify(edits.model));
  if (edits.maxOutputTokens !== undefined) set('max_tokens', String(edits.maxOutputTokens));
  if (edits.removeTools && edits.removeTools.length > 0)
    splices.push(...toolRemovals(call, new Set(edits.removeTools)));
  return splices;
};

const LISTS = [
  ['tools', anthropicToolName],
  ['mcp_servers', mcpServerName],
] as const;

/** Takes named tools out, and the tool choice that names one or has none left to choose from. */
const toolRemovals = (call: Call, removed: ReadonlySet<string>): Splice[] => {
  const { raw, scan, body } = call;
  const splices: Splice[] = [];
  const gone = new Set<string>();
  for (const [name, nameOf] of LISTS) {
    const member = scan.members.get(name);
    const list = body[name];
    if (!member || !Array.isArray(list)) continue;
    const isRemoved = (index: number): boolean => removed.has(nameOf(list[index], name));
    const left = list.filter((_, index) => !isRemoved(index)).length;
    if (left === list.length) continue;
    if (left > 0) splices.push(...removals(elementRanges(raw, scan, member), isRemoved));
    else gone.add(name);
    if (left === 0 && name === 'tools') gone.add('tool_choice');
  }
  const choice = body.tool_choice;
  if (isObject(choice) && typeof choice.name === 'string' && removed.has(choice.name)) gone.add('tool_choice');
  const names = [...scan.members.keys()];
  splices.push(...removals(memberRanges(scan.members), (index) => gone.has(names[index]!)));
  return splices;
};

import { append } from './append.ts';
import { isObject, type Json } from './fields.ts';
import { elementRanges, type Range, removals } from './json-ranges.ts';
import { scanJson } from './json-scan.ts';
import { isToolItem, offeredTools, responsesToolName } from './openai-responses-tools.ts';
import { withoutOwnReasoning } from './own-reasoning.ts';
import type { Call, Edits, Splice } from './protocol.ts';
import { removeTools } from './remove-tools.ts';
import { setMember } from './set-member.ts';

/** The splices that carry out `edits` on a responses body. Usage is always in the answer. */
export const editOpenaiResponses = (call: Call, edits: Edits): Splice[] => {
  const splices: Splice[] = [];
  const set = (name: string, text: string): void => void splices.push(setMember(call, name, text));
  if (edits.model !== undefined) set('model', JSON.stringify(edits.model));
  if (edits.maxOutputTokens !== undefined) set('max_output_tokens', String(edits.maxOutputTokens));
  if (edits.kind !== undefined) append(splices, withoutOwnReasoning(call));
  if (edits.removeTools && edits.removeTools.length > 0)
    splices.push(...toolRemovals(call, new Set(edits.removeTools)));
  return splices;
};

/** Takes named tools out, wherever they are offered, and with them what names one or makes no sense without tools. */
const toolRemovals = (call: Call, removed: ReadonlySet<string>): Splice[] => {
  const { body, raw, scan } = call;
  const splices: Splice[] = [];
  const gone: string[] = [];
  const tools = scan.members.get('tools');
  if (tools && Array.isArray(body.tools)) {
    if (body.tools.length > 0 && body.tools.every((tool) => isGone(tool, removed))) gone.push('tools');
    else splices.push(...listRemovals(call, tools, body.tools, removed));
  }
  const input = scan.members.get('input');
  if (input && Array.isArray(body.input) && body.input.some(isToolItem)) {
    const ranges = elementRanges(raw, scan, input);
    body.input.forEach((item: unknown, index: number) => {
      if (isToolItem(item)) append(splices, heldRemovals(call, ranges[index]!, item, removed));
    });
  }
  const { offered, left } = namesOf(body, removed);
  if (offered.size > 0 && left.size === 0) gone.push('tool_choice', 'parallel_tool_calls');
  else {
    const isChosen = (tool: unknown): boolean => {
      const name = choiceName(tool);
      return offered.has(name) && !left.has(name);
    };
    if (isChosen(body.tool_choice)) gone.push('tool_choice');
    else splices.push(...allowedRemovals(call, isChosen));
  }
  return [...splices, ...removeTools(call, [], removed, gone)];
};

/** The names of the tools that were offered, and of those that still are. */
const namesOf = (body: Json, removed: ReadonlySet<string>): Record<'offered' | 'left', ReadonlySet<string>> => {
  const offered = new Set<string>();
  const left = new Set<string>();
  let within: string | undefined;
  for (const { tool, param } of offeredTools(body)) {
    const name = responsesToolName(tool, param);
    offered.add(name);
    if (within !== undefined && param.startsWith(within)) continue;
    if (isGone(tool, removed)) within = `${param}.`;
    else left.add(name);
  }
  return { offered, left };
};

/** Whether a tool goes as a whole: by its name, or as a namespace of which nothing is left. */
const isGone = (tool: unknown, removed: ReadonlySet<string>): boolean => {
  if (removed.has(responsesToolName(tool, 'tools'))) return true;
  if (!isObject(tool) || tool.type !== 'namespace' || !Array.isArray(tool.tools)) return false;
  return tool.tools.length > 0 && tool.tools.every((inner) => isGone(inner, removed));
};

/** Takes tools out of the list at `array`, and out of the namespaces that stay in it. */
const listRemovals = (call: Call, array: Range, list: unknown[], removed: ReadonlySet<string>): Splice[] => {
  const ranges = elementRanges(call.raw, call.scan, array);
  const splices = removals(ranges, (index) => isGone(list[index], removed));
  list.forEach((tool, index) => {
    if (isObject(tool) && tool.type === 'namespace' && !isGone(tool, removed)) {
      splices.push(...heldRemovals(call, ranges[index]!, tool, removed));
    }
  });
  return splices;
};

/** The same for the `tools` of the object at `range`. */
const heldRemovals = (call: Call, range: Range, holder: Json, removed: ReadonlySet<string>): Splice[] => {
  const member = memberAt(call, range, 'tools');
  return member && Array.isArray(holder.tools) ? listRemovals(call, member, holder.tools, removed) : [];
};

const memberAt = ({ raw }: Call, { start, end }: Range, name: string): Range | undefined => {
  const member = scanJson(raw.subarray(start, end)).members.get(name);
  return member && { start: start + member.start, end: start + member.end };
};

/**
 * Takes removed tools out of a list of allowed ones. Without its list a choice would allow more than the caller did, so
 * an emptied one becomes `none`.
 */
const allowedRemovals = (call: Call, isChosen: (tool: unknown) => boolean): Splice[] => {
  const choice = call.body.tool_choice;
  const member = call.scan.members.get('tool_choice');
  if (!member || !isObject(choice) || choice.type !== 'allowed_tools') return [];
  const allowed = choice.tools;
  if (!Array.isArray(allowed) || !allowed.some(isChosen)) return [];
  if (allowed.every(isChosen)) return [{ start: member.start, end: member.end, text: '"none"' }];
  const list = memberAt(call, member, 'tools')!;
  return removals(elementRanges(call.raw, call.scan, list), (index) => isChosen(allowed[index]));
};

/** The name of the tool that a choice names; of a choice of an unknown form none. */
const choiceName = (choice: unknown): string => {
  try {
    return responsesToolName(choice, 'tool_choice');
  } catch {
    return '';
  }
};

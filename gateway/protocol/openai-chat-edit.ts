import { append } from './append.ts';
import { isObject, type Json } from './fields.ts';
import { scanJson } from './json-scan.ts';
import { mistralEdits } from './openai-chat-mistral.ts';
import { functionName, openaiToolName, WEB_SEARCH } from './openai-chat-tools.ts';
import { withoutOwnReasoning } from './own-reasoning.ts';
import type { Call, Edits, Splice } from './protocol.ts';
import { removeTools, type ToolList } from './remove-tools.ts';
import { setMember } from './set-member.ts';

/** The splices that carry out `edits` on a chat completions body, in the words of the provider's kind. */
export const editOpenaiChat = (call: Call, edits: Edits): Splice[] => {
  const removed = new Set(edits.removeTools);
  const splices: Splice[] = [];
  if (edits.model !== undefined) splices.push(setMember(call, 'model', JSON.stringify(edits.model)));
  if (edits.kind !== undefined) append(splices, withoutOwnReasoning(call));
  if (edits.kind === 'mistral') {
    const own = mistralEdits(call, edits.maxOutputTokens);
    return [...splices, ...own.splices, ...toolRemovals(call, removed, own.gone)];
  }
  if (edits.maxOutputTokens !== undefined) {
    const names = ['max_completion_tokens', 'max_tokens'].filter((name) => call.scan.members.has(name));
    if (names.length === 0) names.push(capNameOf(edits.kind));
    for (const name of names) splices.push(setMember(call, name, String(edits.maxOutputTokens)));
  }
  if (edits.includeUsage) splices.push(...includeUsage(call));
  if (removed.size > 0) splices.push(...toolRemovals(call, removed, []));
  return splices;
};

/** Most servers of the OpenAI API know the older name of the cap only, and all know it. */
const capNameOf = (kind: Edits['kind']): string =>
  kind === undefined || kind === 'openai' ? 'max_completion_tokens' : 'max_tokens';

/** The splices that ask for the usage of a stream: none where it is asked for, or where there is no stream. */
export const includeUsage = (call: Call): Splice[] => {
  if (!call.stream || call.includeUsage) return [];
  const member = call.scan.members.get('stream_options');
  if (!member || !isObject(call.body.stream_options)) {
    return [setMember(call, 'stream_options', '{"include_usage":true}')];
  }
  const options = scanJson(call.raw.subarray(member.start, member.end));
  const include = options.members.get('include_usage');
  if (include) return [{ start: member.start + include.start, end: member.start + include.end, text: 'true' }];
  const comma = options.members.size > 0 ? ',' : '';
  return [{ start: member.start + 1, end: member.start + 1, text: `"include_usage":true${comma}` }];
};

/** `tool_choice` and `parallel_tool_calls` are refused by OpenAI when no tools are sent. */
const LISTS: readonly ToolList[] = [
  { field: 'tools', nameOf: openaiToolName, dependents: ['tool_choice', 'parallel_tool_calls'] },
  { field: 'functions', nameOf: functionName, dependents: ['function_call'] },
];

/** Takes named tools out, and with them what names a removed tool or makes no sense without tools; and `fields`. */
const toolRemovals = (call: Call, removed: ReadonlySet<string>, fields: readonly string[]): Splice[] => {
  const gone = ['tool_choice', 'function_call'].filter((choice) => namesRemoved(call.body[choice], removed));
  if (removed.has(WEB_SEARCH)) gone.push('web_search_options');
  return removeTools(call, LISTS, removed, [...fields, ...gone]);
};

/** Whether a tool choice names a removed tool, alone or in a list of allowed ones. */
const namesRemoved = (choice: unknown, removed: ReadonlySet<string>): boolean => {
  if (!isObject(choice)) return false;
  if (typeof choice.name === 'string') return removed.has(choice.name);
  const kind = typeof choice.type === 'string' ? choice.type : 'function';
  const detail = choice[kind];
  if (kind === 'allowed_tools' && isObject(detail) && Array.isArray(detail.tools)) {
    return detail.tools.some((tool) => namesRemoved(tool, removed));
  }
  const name = isObject(detail) ? (detail as Json).name : kind;
  return typeof name === 'string' && removed.has(name);
};

import { isObject, type Json } from './fields.ts';
import { scanJson } from './json-scan.ts';
import { functionName, openaiToolName, WEB_SEARCH } from './openai-chat-tools.ts';
import type { Call, Edits, Splice } from './protocol.ts';
import { removeTools, type ToolList } from './remove-tools.ts';

/** The splices that carry out `edits` on a chat completions body. */
export const editOpenaiChat = (call: Call, edits: Edits): Splice[] => {
  const { members } = call.scan;
  const splices: Splice[] = [];
  const added: string[] = [];
  const replace = (name: string, text: string): void => {
    const member = members.get(name);
    if (member) splices.push({ start: member.start, end: member.end, text });
    else added.push(`${JSON.stringify(name)}:${text}`);
  };

  if (edits.model !== undefined) replace('model', JSON.stringify(edits.model));
  if (edits.maxOutputTokens !== undefined) {
    const names = ['max_completion_tokens', 'max_tokens'].filter((name) => members.has(name));
    if (names.length === 0) names.push(capNameOf(edits.kind));
    for (const name of names) replace(name, String(edits.maxOutputTokens));
  }
  if (edits.includeUsage && call.stream && !call.includeUsage) addIncludeUsage(call, splices, replace);
  if (edits.removeTools && edits.removeTools.length > 0)
    splices.push(...toolRemovals(call, new Set(edits.removeTools)));
  if (added.length > 0) splices.push({ start: call.scan.end, end: call.scan.end, text: `,${added.join(',')}` });
  return splices;
};

/** Mistral and most servers of the OpenAI API know the older name of the cap only. */
const capNameOf = (kind: Edits['kind']): string =>
  kind === undefined || kind === 'openai' ? 'max_completion_tokens' : 'max_tokens';

const addIncludeUsage = (call: Call, splices: Splice[], replace: (name: string, text: string) => void): void => {
  const member = call.scan.members.get('stream_options');
  if (!member || !isObject(call.body.stream_options)) {
    replace('stream_options', '{"include_usage":true}');
    return;
  }
  const options = scanJson(call.raw.subarray(member.start, member.end));
  const include = options.members.get('include_usage');
  if (include) {
    splices.push({ start: member.start + include.start, end: member.start + include.end, text: 'true' });
    return;
  }
  const comma = options.members.size > 0 ? ',' : '';
  splices.push({ start: member.start + 1, end: member.start + 1, text: `"include_usage":true${comma}` });
};

/** `tool_choice` and `parallel_tool_calls` are refused by OpenAI when no tools are sent. */
const LISTS: readonly ToolList[] = [
  { field: 'tools', nameOf: openaiToolName, dependents: ['tool_choice', 'parallel_tool_calls'] },
  { field: 'functions', nameOf: functionName, dependents: ['function_call'] },
];

/** Takes named tools out, and with them what names a removed tool or makes no sense without tools. */
const toolRemovals = (call: Call, removed: ReadonlySet<string>): Splice[] => {
  const gone = ['tool_choice', 'function_call'].filter((choice) => namesRemoved(call.body[choice], removed));
  if (removed.has(WEB_SEARCH)) gone.push('web_search_options');
  return removeTools(call, LISTS, removed, gone);
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

import { GatewayError } from '../../errors.ts';
import { arrayField, invalidField, isObject, type Json } from '../fields.ts';
import { onlyMembers, onlyValues, unsaid } from './unsaid.ts';

/** A tool as the caller knows it, behind the function that the model is offered. */
export interface CallerTool {
  readonly kind: 'function' | 'custom' | 'tool_search';
  readonly name: string;
  readonly namespace?: string;
}

/** The tools of a request: as functions, and the way back from a function's name to the caller's tool. */
export interface CallerTools {
  readonly functions: readonly Json[];
  readonly byName: ReadonlyMap<string, CallerTool>;
}

/**
 * Every tool that a body offers or that a tool search in its history has loaded, as functions: chat servers know no
 * other kind. Throws GatewayError `invalid_field` for tools that the provider runs, and for two of one name.
 */
export const callerTools = (body: Json): CallerTools => {
  const functions: Json[] = [];
  const byName = new Map<string, CallerTool>();
  const tools = arrayField(body, 'tools');
  const offer = (said: Json, tool: CallerTool, param: string): void => {
    const name = said.name as string;
    if (byName.has(name)) {
      throw new GatewayError('invalid_field', `Two tools are called '${name}' in chat completions.`, { param });
    }
    byName.set(name, tool);
    functions.push({ type: 'function', function: said });
  };
  /** The first that a search is to find: it is not offered before. */
  let deferred: string | undefined;
  const defer = (param: string): void => {
    deferred ??= param;
  };
  for (let index = 0; index < tools.length; index++) offerTool(tools[index], `tools[${index}]`, offer, defer);
  if (deferred !== undefined && byName.get(TOOL_SEARCH)?.kind !== 'tool_search') {
    throw unsaid(`${deferred}.defer_loading`, 'A tool that is to be searched for, without a search,');
  }
  if (Array.isArray(body.input)) offerLoaded(body.input, byName, offer);
  return { functions, byName };
};

type Offer = (said: Json, tool: CallerTool, param: string) => void;
/** Takes note of a tool that a search is to find; none where one has found it. */
type Defer = (param: string) => void;

/** The tools that a client's search found. One that is found twice, or that was offered at once, counts once. */
const offerLoaded = (input: readonly unknown[], byName: ReadonlyMap<string, CallerTool>, offer: Offer): void => {
  const once: Offer = (said, tool, param) => {
    if (!byName.has(said.name as string)) offer(said, tool, param);
  };
  for (let index = 0; index < input.length; index++) {
    const item = input[index];
    if (!isObject(item) || item.type !== 'tool_search_output') continue;
    const param = `input[${index}].tools`;
    const tools = arrayField(item, 'tools', param);
    for (let at = 0; at < tools.length; at++) offerTool(tools[at], `${param}[${at}]`, once, null);
  }
};

const offerTool = (tool: unknown, param: string, offer: Offer, defer: Defer | null): void => {
  if (!isObject(tool)) throw invalidField(param, 'an object');
  switch (tool.type) {
    case 'function':
    case 'custom':
      if (tool.defer_loading === true && defer) defer(param);
      else offer(...functionOf(tool, param), param);
      return;
    case 'namespace': {
      onlyMembers(tool, NAMESPACE, param);
      nameIn(tool, 'name', param);
      // Once, with its first tool: a long description said with each would multiply the request.
      let space = tool;
      for (const [index, inner] of arrayField(tool, 'tools', `${param}.tools`).entries()) {
        const at = `${param}.tools[${index}]`;
        if (!isObject(inner)) throw invalidField(at, 'an object');
        if (inner.type !== 'function' && inner.type !== 'custom') {
          throw unsaid(at, `A tool of type ${JSON.stringify(inner.type)}`);
        }
        if (inner.defer_loading === true && defer) defer(at);
        else {
          offer(...functionOf(inner, at, space), at);
          space = { name: tool.name };
        }
      }
      return;
    }
    case 'tool_search':
      offer(searchFunction(tool, param), { kind: 'tool_search', name: TOOL_SEARCH }, param);
      return;
    case 'web_search':
    case 'web_search_preview':
      // Codex offers the search of a cache by default. A model need not search, but it may not be told that it can.
      if (tool.external_web_access === false) return;
      throw unsaid(param, 'Web search', 'In Codex: web_search = "disabled". Else leave the tool out.');
    default:
      throw unsaid(param, `A tool of type ${JSON.stringify(tool.type)}`, 'Offer it as a function that you run.');
  }
};

/** The name of the function that stands for a client's tool search. */
export const TOOL_SEARCH = 'tool_search';

/** The name that a tool has as a function. */
export const functionName = (name: string, namespace?: unknown): string => {
  if (typeof namespace !== 'string' || namespace === '') return name;
  return namespace.endsWith('__') ? namespace + name : `${namespace}__${name}`;
};

const COMMON = ['type', 'name', 'description', 'allowed_callers', 'async', 'defer_loading'];
const FUNCTION: ReadonlySet<string> = new Set([...COMMON, 'parameters', 'strict', 'output_schema']);
const CUSTOM: ReadonlySet<string> = new Set([...COMMON, 'format']);
const NAMESPACE: ReadonlySet<string> = new Set(['type', 'name', 'description', 'tools']);
const SEARCH: ReadonlySet<string> = new Set(['type', 'description', 'execution', 'parameters']);

const functionOf = (tool: Json, param: string, namespace?: Json): [said: Json, tool: CallerTool] => {
  const kind = tool.type === 'custom' ? 'custom' : 'function';
  onlyMembers(tool, kind === 'custom' ? CUSTOM : FUNCTION, param);
  onlyValues(tool, 'async', [false], param);
  for (const caller of arrayField(tool, 'allowed_callers', `${param}.allowed_callers`)) {
    if (caller !== 'direct') throw unsaid(`${param}.allowed_callers`, 'A tool that programs call');
  }
  const name = nameIn(tool, 'name', param);
  const space = namespace?.name as string | undefined;
  const description = [namespace?.description, tool.description, kind === 'custom' && formatText(tool, param)]
    .filter((text) => typeof text === 'string' && text !== '')
    .join('\n\n');
  const said: Json = { name: functionName(name, space) };
  if (description !== '') said.description = description;
  if (kind === 'custom') said.parameters = INPUT;
  else {
    if (isObject(tool.parameters)) said.parameters = tool.parameters;
    if (typeof tool.strict === 'boolean') said.strict = tool.strict;
  }
  return [said, { kind, name, ...(space === undefined ? {} : { namespace: space }) }];
};

/** The one parameter of a function that stands for a custom tool. */
const INPUT = {
  type: 'object',
  properties: { input: { type: 'string' } },
  required: ['input'],
  additionalProperties: false,
};

/** A grammar is told to the model, which nothing holds to it. */
const formatText = (tool: Json, param: string): string => {
  const format = tool.format ?? { type: 'text' };
  if (!isObject(format)) throw invalidField(`${param}.format`, 'an object');
  if (format.type === 'text') return '';
  if (format.type !== 'grammar' || typeof format.definition !== 'string') {
    throw unsaid(`${param}.format`, `A format of type ${JSON.stringify(format.type)}`);
  }
  const syntax = format.syntax === 'regex' ? 'regular expression' : 'Lark grammar';
  return `The input is plain text that matches this ${syntax}:\n${format.definition}`;
};

const searchFunction = (tool: Json, param: string): Json => {
  onlyMembers(tool, SEARCH, param);
  if (tool.execution !== 'client') throw unsaid(`${param}.execution`, 'A tool search that the provider runs');
  const said: Json = { name: TOOL_SEARCH };
  if (typeof tool.description === 'string') said.description = tool.description;
  if (isObject(tool.parameters)) said.parameters = tool.parameters;
  return said;
};

const nameIn = (holder: Json, key: string, param: string): string => {
  const value = holder[key];
  if (typeof value !== 'string' || value === '') throw invalidField(`${param}.${key}`, 'a string that is not empty');
  return value;
};

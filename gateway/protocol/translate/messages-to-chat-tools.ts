import { arrayField, booleanField, invalidField, isObject, type Json, objectField } from '../fields.ts';
import { onlyMembers, unsaid } from './unsaid.ts';

/** Says `tools` and `tool_choice` in `chat`. Throws GatewayError `invalid_field` for tools that only Anthropic has. */
export const sayTools = (body: Json, chat: Json): void => {
  const tools = arrayField(body, 'tools');
  if (tools.length > 0) chat.tools = tools.map((tool, index) => functionOf(tool, `tools[${index}]`));
  const choice = objectField(body, 'tool_choice');
  if (!choice) return;
  const said = choiceOf(choice);
  if (tools.length > 0) {
    chat.tool_choice = said;
    // Parallel calls are the default in both, and some models refuse the field.
    if (booleanField(choice, 'disable_parallel_tool_use')) chat.parallel_tool_calls = false;
  } else if (said !== 'auto' && said !== 'none') {
    throw unsaid('tool_choice', 'A choice of tools without tools');
  }
};

/** `allowed_callers` is looked at below. Those that only load or show a tool another way are left out. */
const TOOL: ReadonlySet<string> = new Set([
  ...['type', 'name', 'description', 'input_schema', 'strict', 'cache_control'],
  ...['allowed_callers', 'defer_loading', 'eager_input_streaming', 'input_examples'],
]);

const functionOf = (tool: unknown, param: string): Json => {
  if (!isObject(tool)) throw invalidField(param, 'an object');
  if (tool.type !== undefined && tool.type !== null && tool.type !== 'custom') throw foreignTool(tool.type, param);
  onlyMembers(tool, TOOL, param);
  if (typeof tool.name !== 'string' || tool.name === '') throw invalidField(`${param}.name`, 'a string');
  if (!isObject(tool.input_schema)) throw invalidField(`${param}.input_schema`, 'an object');
  const callers = arrayField(tool, 'allowed_callers', `${param}.allowed_callers`);
  if (callers.length > 0 && !callers.includes('direct')) {
    throw unsaid(`${param}.allowed_callers`, 'A tool that only code of the provider may call');
  }
  const said: Json = { name: tool.name };
  const { description, strict } = tool;
  if (typeof description === 'string') said.description = description;
  else if (description !== undefined && description !== null) throw invalidField(`${param}.description`, 'a string');
  said.parameters = parametersOf(tool.input_schema);
  if (typeof strict === 'boolean') said.strict = strict;
  else if (strict !== undefined && strict !== null) throw invalidField(`${param}.strict`, 'a boolean');
  return { type: 'function', function: said };
};

/** OpenAI refuses an object that lists no properties, which many tools without an input leave out. */
const parametersOf = (schema: Json): Json =>
  schema.type === 'object' && schema.properties === undefined ? { ...schema, properties: {} } : schema;

/** Tools whose schema Anthropic's models know by heart, run by the caller. */
const RUN_BY_CALLER = /^(?:bash|text_editor|computer|memory|browser)_/;

const foreignTool = (type: unknown, param: string): Error => {
  if (typeof type !== 'string') return invalidField(`${param}.type`, 'a string');
  const what = `A tool of type ${JSON.stringify(type.slice(0, 80))}`;
  return RUN_BY_CALLER.test(type)
    ? unsaid(param, what, 'Offer it as a tool of your own, with an input_schema.')
    : unsaid(param, what, 'Only Anthropic runs it. Leave it out, or ask for a model of Anthropic.');
};

const CHOICE: ReadonlySet<string> = new Set(['type', 'name', 'disable_parallel_tool_use']);

const choiceOf = (choice: Json): unknown => {
  onlyMembers(choice, CHOICE, 'tool_choice');
  switch (choice.type) {
    case 'auto':
    case 'none':
      return choice.type;
    case 'any':
      return 'required';
    case 'tool':
      if (typeof choice.name !== 'string') throw invalidField('tool_choice.name', 'a string');
      return { type: 'function', function: { name: choice.name } };
    default:
      throw invalidField('tool_choice.type', 'one of auto, any, tool, none');
  }
};

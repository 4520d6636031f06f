import { arrayField, invalidField, isObject, type Json } from '../fields.ts';
import { type CallerTools, functionName } from './responses-to-chat-tools.ts';
import { unsaid } from './unsaid.ts';

/** `tool_choice` in chat completions' words; undefined where it is not said. */
export const chatToolChoice = (choice: unknown, tools: CallerTools): unknown => {
  if (choice === undefined || choice === null) return undefined;
  if (typeof choice === 'string') return choice;
  if (!isObject(choice)) throw invalidField('tool_choice', 'a string or an object');
  switch (choice.type) {
    case 'function':
    case 'custom':
      return namedTool(choice, tools, 'tool_choice');
    case 'allowed_tools': {
      const allowed = arrayField(choice, 'tools', 'tool_choice.tools').map((tool, index) =>
        namedTool(tool, tools, `tool_choice.tools[${index}]`),
      );
      return { type: 'allowed_tools', allowed_tools: { mode: choice.mode, tools: allowed } };
    }
    default:
      throw unsaid('tool_choice', `A choice of type ${JSON.stringify(choice.type)}`);
  }
};

const namedTool = (tool: unknown, { byName }: CallerTools, param: string): Json => {
  if (!isObject(tool)) throw invalidField(param, 'an object');
  if (tool.type !== 'function' && tool.type !== 'custom') {
    throw unsaid(`${param}.type`, `A tool of type ${JSON.stringify(tool.type)}`);
  }
  const name = stringIn(tool, param);
  let said = functionName(name, tool.namespace);
  if (!byName.has(said)) for (const [as, known] of byName) if (known.name === name) said = as;
  return { type: 'function', function: { name: said } };
};

const stringIn = (tool: Json, param: string): string => {
  if (typeof tool.name !== 'string') throw invalidField(`${param}.name`, 'a string');
  return tool.name;
};

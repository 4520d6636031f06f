import { Content } from './content.ts';
import {
  booleanField,
  integerField,
  invalidField,
  isObject,
  type Json,
  numberField,
  objectField,
  requiredString,
} from './fields.ts';
import type { JsonScan } from './json-scan.ts';
import { readItem } from './openai-responses-items.ts';
import { isServerTool, offeredTools, responsesToolName } from './openai-responses-tools.ts';
import type { Call } from './protocol.ts';

/** Reads a scanned body of the responses API. Throws GatewayError `invalid_field`. */
export const readOpenaiResponses = (raw: Buffer, scan: JsonScan, body: Json): Call => {
  const model = requiredString(body, 'model');
  const content = new Content();
  const hasInstructions = body.instructions !== undefined && body.instructions !== null;
  if (hasInstructions) {
    if (typeof body.instructions !== 'string') throw invalidField('instructions', 'a string');
    content.text('system', body.instructions);
  }
  const { items, turns } = readInput(content, body);
  const offered = offeredTools(body);
  return {
    endpoint: 'responses',
    dialect: 'openai',
    raw,
    body,
    scan,
    model,
    stream: booleanField(body, 'stream'),
    includeUsage: true,
    maxOutputTokens: integerField(body, 'max_output_tokens'),
    temperature: numberField(body, 'temperature'),
    toolNames: offered.map(({ tool, param }) => responsesToolName(tool, param)),
    responseFormat: responseFormat(body),
    messages: items + (hasInstructions ? 1 : 0),
    turns,
    ...content.result(raw, scan, body),
    serverTools: offered.some(isServerTool),
  };
};

/** Reads `input`: the number of its items, and of those in which a user speaks. */
const readInput = (content: Content, { input }: Json): { items: number; turns: number } => {
  if (typeof input === 'string') {
    content.text('user', input);
    return { items: 1, turns: 1 };
  }
  if (!Array.isArray(input)) throw invalidField('input', 'a string or an array of items');
  let turns = 0;
  for (let index = 0; index < input.length; index++) {
    if (readItem(content, input[index], `input[${index}]`) === 'user') turns++;
  }
  return { items: input.length, turns };
};

/** The format that is in force at the end of the input: an item may change the one of the request. */
const responseFormat = (body: Json): string | null => {
  let format = formatOf(body, '');
  if (Array.isArray(body.input)) {
    for (let index = 0; index < body.input.length; index++) {
      const item: unknown = body.input[index];
      if (isObject(item) && item.type === 'configuration_update') format = formatOf(item, `input[${index}].`) ?? format;
    }
  }
  return format;
};

const formatOf = (holder: Json, prefix: string): string | null => {
  const text = objectField(holder, 'text', `${prefix}text`);
  const format = text && objectField(text, 'format', `${prefix}text.format`);
  if (!format) return null;
  if (typeof format.type !== 'string') throw invalidField(`${prefix}text.format.type`, 'a string');
  return format.type;
};

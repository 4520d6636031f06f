import { GatewayError } from '../errors.ts';
import { isObject } from '../protocol/fields.ts';
import { type OfferedTool, offeredTools } from '../protocol/openai-responses-tools.ts';
import type { Call } from '../protocol/protocol.ts';
import { checkStored } from './stored.ts';

/**
 * Fields with which a caller would leave what the policy judged and the catalogue prices, and the values that do not.
 * Absent and null are always right. Sources: the references of Anthropic's messages (`speed` costs six times the list
 * price, `inference_geo` a tenth more, `fallbacks` are other models) and of OpenAI's chat completions; `models` is how
 * routers in front of several providers take other models.
 */
const ALLOWED: Readonly<Record<string, readonly unknown[]>> = {
  service_tier: ['auto', 'default', 'flex', 'standard_only'],
  speed: ['standard'],
  inference_geo: ['global'],
  fallbacks: [],
  models: [],
  workspace_id: [],
  billing_policy: [],
};
const NAMES = Object.keys(ALLOWED);

/**
 * Throws GatewayError `invalid_field` when a call asks for another model, price or account than it is judged by, or for
 * what is stored at the provider.
 */
export const checkPriced = (call: Call): void => {
  const { body } = call;
  for (const name of NAMES) {
    const value = body[name];
    if (value === undefined || value === null || ALLOWED[name]!.includes(value)) continue;
    throw refused(name);
  }
  for (const { tool, param } of toolsOf(call)) {
    // Anthropic's advisor, OpenAI's image generation.
    if (typeof tool.model === 'string') throw refused(`${param}.model`);
  }
  checkStored(call);
};

const toolsOf = ({ endpoint, body }: Call): OfferedTool[] => {
  if (endpoint === 'responses') return offeredTools(body);
  const tools: unknown[] = Array.isArray(body.tools) ? body.tools : [];
  return tools.flatMap((tool, index) => (isObject(tool) ? [{ tool, param: `tools[${index}]` }] : []));
};

const refused = (param: string): GatewayError =>
  new GatewayError(
    'invalid_field',
    `This ${param} would change the model, the price or the account of the call, so it cannot be used.`,
    { param, hint: 'Leave it out.' },
  );

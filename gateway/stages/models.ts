import type { ServerResponse } from 'node:http';
import { decidedHeaders } from '../answer-error.ts';
import { conclude } from '../conclude.ts';
import { GatewayError } from '../errors.ts';
import type { Exchange } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import { FREE } from '../outcome.ts';
import type { Policy } from '../policy/policy.ts';
import type { Input } from '../types.gen.ts';
import { decide, denial } from './decide.ts';
import type { Head } from './receive.ts';

/** The name that leaves the choice to the policy. */
const AUTO = 'auto';

/**
 * Answers GET /v1/models and /v1/models/{id} with the models this caller may use, in the shape of the API it speaks
 * (Anthropic's clients send anthropic-version). Throws GatewayError `policy_denied`, `not_found`.
 */
export const answerModels = async (
  gw: Gateway,
  x: Exchange,
  head: Head,
  input: Input,
  policy: Policy,
  res: ServerResponse,
): Promise<void> => {
  const decision = x.keep('decision', decide(input, policy));
  if (!decision.allow) throw denial(decision);
  const names = [AUTO, ...policy.models(input)];
  const isAnthropic = head.headers['anthropic-version'] !== undefined;
  const entry = isAnthropic ? anthropicEntry : openaiEntry;
  const titles = (name: string): string => policy.data.models[name]?.title ?? 'Chosen by the policy';
  let body: unknown;
  if (head.modelId === null) {
    body = list(
      names.map((name) => entry(name, titles(name))),
      isAnthropic,
    );
  } else if (names.includes(head.modelId)) {
    body = entry(head.modelId, titles(head.modelId));
  } else {
    throw new GatewayError('not_found', `There is no model ${head.modelId} for you.`, {
      hint: 'GET /v1/models lists yours.',
    });
  }
  await conclude(gw, x, { outcome: 'ok', status: 200, error: null, usage: null, cost: FREE });
  const text = JSON.stringify(body);
  res.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...decidedHeaders(x, isAnthropic ? 'anthropic' : 'openai'),
  });
  res.end(text);
};

type Entry = (name: string, title: string) => { readonly id: string };

/** OpenAI wants a creation time; a catalogue has none that means anything. */
const openaiEntry: Entry = (name) => ({ id: name, object: 'model', created: 0, owned_by: 'aegis' });

const anthropicEntry: Entry = (name, title) => ({
  type: 'model',
  id: name,
  display_name: title,
  created_at: '1970-01-01T00:00:00Z',
});

const list = (data: readonly { readonly id: string }[], isAnthropic: boolean): object =>
  isAnthropic
    ? { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null }
    : { object: 'list', data };

import { isObject } from '../../gateway/protocol/fields.ts';
import { answerJson, answerStream, type Play } from './fake-upstream.ts';

/** Fields of Mistral's ChatCompletionRequest and of its messages, by role: @mistralai/mistralai 2.7. */
const REQUEST = [
  ...['model', 'temperature', 'top_p', 'max_tokens', 'stream', 'stop', 'random_seed', 'metadata', 'messages'],
  ...['response_format', 'tools', 'tool_choice', 'presence_penalty', 'frequency_penalty', 'n', 'prediction'],
  ...['parallel_tool_calls', 'reasoning_effort', 'prompt_mode', 'guardrails', 'prompt_cache_key', 'service_tier'],
  'safe_prompt',
];
const MESSAGES: Readonly<Record<string, readonly string[]>> = {
  system: ['role', 'content'],
  user: ['role', 'content'],
  assistant: ['role', 'content', 'tool_calls', 'prefix'],
  tool: ['role', 'content', 'tool_call_id', 'name'],
};

/** What Mistral would say is wrong with a chat completions body, each as its path; empty where nothing is. */
export const mistralComplaints = (body: unknown): string[] => {
  if (!isObject(body) || !Array.isArray(body.messages)) return ['body'];
  const wrong = Object.keys(body).filter((name) => !REQUEST.includes(name));
  if (body.tool_choice === 'required') wrong.push('tool_choice');
  for (const [index, message] of body.messages.entries()) {
    const known = isObject(message) ? MESSAGES[String(message.role)] : undefined;
    if (!isObject(message) || !known) wrong.push(`messages.${index}.role`);
    else {
      wrong.push(
        ...Object.keys(message).flatMap((name) => (known.includes(name) ? [] : [`messages.${index}.${name}`])),
      );
      const calls = Array.isArray(message.tool_calls) ? message.tool_calls : [];
      const ids = [...calls.map((call) => (isObject(call) ? call.id : call)), message.tool_call_id ?? 'abcdefghi'];
      if (!ids.every((id) => /^[A-Za-z0-9]{9}$/.test(String(id)))) wrong.push(`messages.${index}.id`);
    }
  }
  for (const [index, tool] of (Array.isArray(body.tools) ? body.tools : []).entries()) {
    const fn = isObject(tool) ? tool.function : undefined;
    if (isObject(fn) && !isObject(fn.parameters)) wrong.push(`tools.${index}.function.parameters`);
  }
  return wrong;
};

/** Plays Mistral, which refuses what it does not know, and answers with `whole` or the events of `stream`. */
export const playMistral =
  (whole: unknown, stream: readonly Buffer[]): Play =>
  (request, response) => {
    const body: unknown = JSON.parse(request.body.toString());
    const wrong = mistralComplaints(body);
    if (wrong.length > 0) {
      const detail = wrong.map((path) => ({ type: 'extra_forbidden', loc: ['body', ...path.split('.')], msg: path }));
      const error = { object: 'error', message: { detail }, type: 'invalid_request_error', param: null, code: null };
      return answerJson(422, error)(request, response);
    }
    return isObject(body) && body.stream === true
      ? answerStream(stream)(request, response)
      : answerJson(200, whole)(request, response);
  };

/** A chat completion as OpenAI answers it. */
export const chatCompletion = (
  content: string,
  usage = { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 },
) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1_790_000_000,
  model: 'upstream-model',
  choices: [
    { index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: 'stop' },
  ],
  usage,
});

/** A message as Anthropic answers it. */
export const message = (text: string, usage = { input_tokens: 20, output_tokens: 5 }) => ({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'upstream-model',
  content: [{ type: 'text', text }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage,
});

/** One event of a chat completions stream. */
export const chatEvent = (data: unknown): string =>
  `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;

/** The events of a chat completions stream, one a piece of text. */
export const chatStream = (
  pieces: readonly string[],
  { usage = true, done = true }: { usage?: boolean; done?: boolean } = {},
): string[] => {
  const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_790_000_000, model: 'upstream-model' };
  const tail = usage ? { usage: null } : {};
  const event = (delta: unknown, finish: string | null): string =>
    chatEvent({ ...head, choices: [{ index: 0, delta, finish_reason: finish }], ...tail });
  return [
    event({ role: 'assistant', content: '' }, null),
    ...pieces.map((content) => event({ content }, null)),
    event({}, 'stop'),
    ...(usage
      ? [chatEvent({ ...head, choices: [], usage: { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 } })]
      : []),
    ...(done ? [chatEvent('[DONE]')] : []),
  ];
};

/** One event of a messages stream. */
export const messageEvent = (data: { readonly type: string; readonly [key: string]: unknown }): string =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

/** The events of a messages stream, one a piece of text. */
export const messageStream = (pieces: readonly string[]): string[] => [
  messageEvent({
    type: 'message_start',
    message: { ...message(''), content: [], stop_reason: null, usage: { input_tokens: 20, output_tokens: 1 } },
  }),
  messageEvent({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
  messageEvent({ type: 'ping' }),
  ...pieces.map((text) => messageEvent({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
  messageEvent({ type: 'content_block_stop', index: 0 }),
  messageEvent({
    type: 'message_delta',
    delta: { stop_reason: 'end_turn', stop_sequence: null },
    usage: { output_tokens: 5 },
  }),
  messageEvent({ type: 'message_stop' }),
];

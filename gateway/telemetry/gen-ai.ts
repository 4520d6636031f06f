import type { Endpoint, UpstreamKind } from '../protocol/protocol.ts';

/** OpenTelemetry's name of an operation; a count of tokens has none there, so it keeps ours. */
export const OPERATIONS: Readonly<Record<Endpoint, string>> = {
  'chat.completions': 'chat',
  responses: 'chat',
  messages: 'chat',
  completions: 'text_completion',
  embeddings: 'embeddings',
  'messages.count_tokens': 'count_tokens',
  models: 'models',
  feedback: 'feedback',
};

/** OpenTelemetry's name of a provider where it has one. */
export const PROVIDERS: Readonly<Record<UpstreamKind, string>> = {
  openai: 'openai',
  anthropic: 'anthropic',
  mistral: 'mistral_ai',
  openai_compatible: 'openai_compatible',
  litellm: 'litellm',
  sandbox: 'sandbox',
};

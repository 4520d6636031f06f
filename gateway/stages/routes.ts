import type { Dialect, Endpoint } from '../protocol/protocol.ts';

/** One row of the data plane. `{id}` stands for one segment of a path. */
export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly endpoint: Endpoint;
  readonly dialect: Dialect;
}

/**
 * Every route there is; a path that is not here is 404. A query is allowed and ignored, as the providers do;
 * `?beta=true` goes on.
 */
export const ROUTES: readonly Route[] = [
  { method: 'POST', path: '/v1/chat/completions', endpoint: 'chat.completions', dialect: 'openai' },
  { method: 'POST', path: '/v1/responses', endpoint: 'responses', dialect: 'openai' },
  { method: 'POST', path: '/v1/completions', endpoint: 'completions', dialect: 'openai' },
  { method: 'POST', path: '/v1/embeddings', endpoint: 'embeddings', dialect: 'openai' },
  { method: 'POST', path: '/v1/messages', endpoint: 'messages', dialect: 'anthropic' },
  { method: 'POST', path: '/v1/messages/count_tokens', endpoint: 'messages.count_tokens', dialect: 'anthropic' },
  { method: 'POST', path: '/v1/feedback', endpoint: 'feedback', dialect: 'openai' },
  { method: 'GET', path: '/v1/models', endpoint: 'models', dialect: 'openai' },
  { method: 'GET', path: '/v1/models/{id}', endpoint: 'models', dialect: 'openai' },
];

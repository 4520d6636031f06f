import { describe, expect, test } from '@jest/globals';
import type { UpstreamConfig } from '../../../gateway/upstream/endpoint.ts';
import { createRequestHeaders } from '../../../gateway/upstream/headers.ts';

const headersOf = (
  config: Partial<UpstreamConfig>,
  wire: Parameters<ReturnType<typeof createRequestHeaders>>[1],
  caller: Record<string, string> = {},
  key = 0,
): Record<string, string> => {
  const list = createRequestHeaders({ name: 'up', kind: 'openai', ...config }, ['sk-0', 'sk-1'])(caller, wire, key);
  return Object.fromEntries(list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1]!]] : [])));
};
const CALLER = {
  accept: 'text/event-stream',
  'anthropic-version': '2024-01-01',
  'anthropic-beta': 'tools-1',
  'openai-beta': 'assistants=v2',
  'openai-organization': 'org-canary',
  'openai-project': 'canary',
  authorization: 'canary',
};

describe('the headers of a request', () => {
  test.each([
    [{ kind: 'openai' }, 'chat.completions', { authorization: 'Bearer sk-0' }],
    [{ kind: 'anthropic' }, 'messages', { 'x-api-key': 'sk-0' }],
    [{ kind: 'litellm' }, 'chat.completions', { authorization: 'Bearer sk-0' }],
    [{ kind: 'litellm' }, 'messages', { authorization: 'Bearer sk-0' }],
    [{ kind: 'openai_compatible' }, 'messages', { authorization: 'Bearer sk-0' }],
    [{ kind: 'openai', key_header: 'api-key' }, 'responses', { 'api-key': 'sk-0' }],
    [{ kind: 'anthropic', key_header: 'authorization' }, 'messages', { authorization: 'Bearer sk-0' }],
  ] as const)('of %j asked for %s carry the key as %j', (config, wire, credential) => {
    const sent = headersOf(config, wire);
    const { authorization, 'api-key': azure, 'x-api-key': anthropic } = sent;
    const credentials = { authorization, 'api-key': azure, 'x-api-key': anthropic };
    expect(JSON.parse(JSON.stringify(credentials))).toEqual(credential);
  });

  test('carry the key of that index, and none for -1', () => {
    expect(headersOf({}, 'chat.completions', {}, 1).authorization).toBe('Bearer sk-1');
    expect(headersOf({}, 'chat.completions', {}, -1).authorization).toBeUndefined();
  });

  test('of Anthropic’s wire formats carry the caller’s version and betas, and nothing of OpenAI', () => {
    for (const wire of ['messages', 'messages.count_tokens'] as const) {
      const sent = headersOf({ kind: 'litellm' }, wire, CALLER);
      expect(sent).toMatchObject({
        'anthropic-version': '2024-01-01',
        'anthropic-beta': 'tools-1',
        accept: CALLER.accept,
      });
      expect(Object.keys(sent).filter((name) => name.startsWith('openai'))).toEqual([]);
      expect(JSON.stringify(sent)).not.toContain('canary');
    }
    expect(headersOf({ kind: 'anthropic' }, 'messages')['anthropic-version']).toBe('2023-06-01');
  });

  test('of OpenAI’s wire formats carry OpenAI’s betas, and nothing of Anthropic', () => {
    for (const wire of ['chat.completions', 'responses', 'completions', 'embeddings'] as const) {
      const sent = headersOf({ kind: 'litellm' }, wire, CALLER);
      expect(sent['openai-beta']).toBe('assistants=v2');
      expect(Object.keys(sent).filter((name) => name.startsWith('anthropic'))).toEqual([]);
      expect(JSON.stringify(sent)).not.toContain('canary');
    }
  });
});

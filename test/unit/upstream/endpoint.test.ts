import { describe, expect, test } from '@jest/globals';
import { endpointOf, type UpstreamConfig } from '../../../gateway/upstream/endpoint.ts';
import { relayedHeaders } from '../../../gateway/upstream/headers.ts';
import { openUpstreams } from '../../../gateway/upstream/upstreams.ts';

const of = (config: Partial<UpstreamConfig>) => endpointOf({ name: 'up', kind: 'openai', ...config });

describe('an endpoint', () => {
  test.each([
    ['openai', undefined, '/chat/completions', 'https://api.openai.com', '/v1/chat/completions'],
    ['mistral', undefined, '/chat/completions', 'https://api.mistral.ai', '/v1/chat/completions'],
    ['anthropic', undefined, '/v1/messages', 'https://api.anthropic.com', '/v1/messages'],
    ['anthropic', 'http://h:1/proxy/', '/messages', 'http://h:1', '/proxy/v1/messages'],
    ['anthropic', 'http://h:1/v1', '/v1/messages', 'http://h:1', '/v1/messages'],
    ['openai_compatible', 'http://h:1/v1/', '/chat/completions', 'http://h:1', '/v1/chat/completions'],
    ['openai_compatible', 'http://h:1', '/chat/completions', 'http://h:1', '/chat/completions'],
    ['openai', 'https://h/api/v1', '/v1/chat/completions', 'https://h', '/api/v1/chat/completions'],
    [
      'openai',
      'https://r.openai.azure.com/openai/v1/',
      '/responses',
      'https://r.openai.azure.com',
      '/openai/v1/responses',
    ],
    ['anthropic', undefined, '/messages?beta=true', 'https://api.anthropic.com', '/v1/messages?beta=true'],
    ['litellm', 'http://h:4000', '/chat/completions', 'http://h:4000', '/v1/chat/completions'],
    ['litellm', 'http://h:4000/v1', '/messages?beta=true', 'http://h:4000', '/v1/messages?beta=true'],
  ] as const)('of %s at %s joins %s', (kind, base_url, path, origin, full) => {
    const endpoint = of({ kind, ...(base_url ? { base_url } : {}) });
    expect([endpoint.origin, endpoint.pathOf(path), endpoint.pathOf(path)]).toEqual([origin, full, full]);
  });

  test.each([
    ['/chat/completions', '/openai/v1/chat/completions?api-version=preview'],
    ['/messages?beta=true', '/openai/v1/messages?beta=true&api-version=preview'],
  ])('with an api-version adds it to the query of %s', (path, full) => {
    const endpoint = of({ base_url: 'https://r.openai.azure.com/openai/v1', api_version: 'preview' });
    expect([endpoint.pathOf(path), endpoint.pathOf(path)]).toEqual([full, full]);
  });

  test('of LiteLLM speaks both dialects', () => {
    expect(of({ kind: 'litellm', base_url: 'http://h' }).dialects).toEqual(['openai', 'anthropic']);
  });

  test.each([
    [{ kind: 'openai' }, true],
    [{ kind: 'anthropic' }, true],
    [{ kind: 'openai', base_url: 'http://127.0.0.1:9/v1' }, false],
    [{ kind: 'openai', base_url: 'http://[::1]:9/v1' }, false],
    [{ kind: 'openai', base_url: 'http://localhost:9/v1' }, false],
    [{ kind: 'openai', base_url: 'http://127.0.0.1.evil.example/v1' }, true],
    [{ kind: 'openai', base_url: 'http://127.0.0.1:9/v1', third_party: true }, true],
    [{ kind: 'openai_compatible', base_url: 'https://generativelanguage.googleapis.com/v1beta/openai' }, true],
    [{ kind: 'openai_compatible', base_url: 'https://local.example.com/v1' }, true],
    [{ kind: 'openai_compatible', base_url: 'http://11.0.0.1/v1' }, true],
    [{ kind: 'openai_compatible', base_url: 'http://172.32.0.1/v1' }, true],
    [{ kind: 'openai_compatible', base_url: 'http://10.1.2.3:8000/v1' }, false],
    [{ kind: 'openai_compatible', base_url: 'http://172.16.0.9/v1' }, false],
    [{ kind: 'openai_compatible', base_url: 'http://[fd12:3456::1]/v1' }, false],
    [{ kind: 'openai_compatible', base_url: 'http://vllm:8000/v1' }, false],
    [{ kind: 'openai_compatible', base_url: 'http://vllm.ml.svc.cluster.local/v1' }, false],
    [{ kind: 'litellm', base_url: 'http://127.0.0.1:4000' }, true],
    [{ kind: 'openai_compatible', base_url: 'http://vllm:8000/v1', third_party: true }, true],
    [{ kind: 'openai_compatible', base_url: 'https://vllm.example/v1', third_party: true }, true],
    [{ kind: 'sandbox', name: 'openai', base_url: 'http://127.0.0.1:9/v1' }, true],
    [{ kind: 'sandbox', name: 'local', base_url: 'http://127.0.0.1:9/v1' }, false],
  ] as const)('of %j: content leaves the operator’s hands: %s', (config, thirdParty) => {
    expect(of(config).thirdParty).toBe(thirdParty);
  });

  test.each([
    [{ kind: 'openai_compatible' }, /needs a base_url/],
    [{ kind: 'litellm' }, /needs a base_url/],
    [{ base_url: 'ftp://h' }, /bad base_url/],
    [{ base_url: 'https://' }, /bad base_url/],
    [{ base_url: 'https://user:pass@h/v1' }, /credential/],
    [{ base_url: 'https://h/v1?key=1' }, /query/],
  ] as const)('of %j is refused', (config, message) => {
    expect(() => of(config)).toThrow(message);
  });
});

describe('relayed headers', () => {
  test('are the few a caller needs; the operator’s account, cookies and hop-by-hop headers stay', () => {
    const headers = {
      'content-type': 'application/json',
      'retry-after': '3',
      'x-request-id': ['req_1', 'req_2'],
      'openai-processing-ms': '12',
      'openai-organization': 'canary',
      'x-ratelimit-remaining-tokens': 'canary',
      'set-cookie': ['canary'],
      connection: 'keep-alive',
      'transfer-encoding': 'chunked',
      'content-length': '3',
      location: 'canary',
      server: 'canary',
      'x-aegis-decision-id': 'canary',
    };
    expect(relayedHeaders(headers)).toEqual({
      'content-type': 'application/json',
      'retry-after': '3',
      'openai-processing-ms': '12',
      'x-upstream-request-id': 'req_1',
    });
    expect(relayedHeaders({ 'request-id': 'req_a' })).toEqual({ 'x-upstream-request-id': 'req_a' });
    expect(relayedHeaders({})).toEqual({});
  });
});

describe('openUpstreams', () => {
  test('gives each upstream by name; the sandboxes speak the dialect of the provider they stand in for', async () => {
    const upstreams = await openUpstreams([
      { name: 'openai', kind: 'sandbox' },
      { name: 'anthropic', kind: 'sandbox' },
      { name: 'local', kind: 'openai_compatible', base_url: 'http://127.0.0.1:9/v1' },
    ]);
    expect([...upstreams].map(([name, { dialects, thirdParty }]) => [name, dialects, thirdParty])).toEqual([
      ['openai', ['openai'], true],
      ['anthropic', ['anthropic'], true],
      ['local', ['openai'], false],
    ]);
    for (const upstream of upstreams.values()) await upstream.close();
  });

  test('refuses a name used twice', async () => {
    const one = { name: 'openai', kind: 'sandbox' } as const;
    await expect(openUpstreams([one, one])).rejects.toThrow(/twice/);
  });
});

import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { dialectOf, newIds, ROUTES, receive } from '../../../gateway/stages/receive.ts';
import { rawHeaders } from '../../support/calls.ts';

const IDS = newIds();
const head = (url: string, more: Record<string, string> | string[] = {}, method = 'POST') =>
  receive(
    {
      method,
      url,
      rawHeaders: Array.isArray(more) ? more : rawHeaders(more),
      socket: { remoteAddress: '::ffff:192.0.2.7' },
    },
    IDS,
  );
const failure = (...args: Parameters<typeof head>): { code: string; status: number; detail: { param?: string } } => {
  try {
    head(...args);
  } catch (error) {
    return error as never;
  }
  throw new Error('was accepted');
};
const codeOf = (...args: Parameters<typeof head>): string => failure(...args).code;
const CHAT = '/v1/chat/completions';

describe('routes', () => {
  test('each route of the table is found, a query is ignored', () => {
    for (const { method, path, endpoint, dialect } of ROUTES) {
      const url = path.replace('{id}', 'gpt-4o');
      expect(head(url, {}, method)).toMatchObject({ endpoint, dialect });
      expect(head(`${url}?beta=true`, {}, method)).toMatchObject({ endpoint, dialect });
    }
  });

  test('a model id is one segment, encoded slashes are its own', () => {
    expect(head('/v1/models/gpt-4o', {}, 'GET').modelId).toBe('gpt-4o');
    expect(head('/v1/models/meta-llama%2FLlama-3', {}, 'GET').modelId).toBe('meta-llama/Llama-3');
    expect(head('/v1/models', {}, 'GET').modelId).toBeNull();
    expect(codeOf('/v1/models/a/b', {}, 'GET')).toBe('not_found');
    for (const id of ['..%2F..%2Fx', '%2e%2e', 'a%00', '%ff', 'a%20b', 'a%2F%2Fb', '%', `${'x'.repeat(200)}`]) {
      expect([id, codeOf(`/v1/models/${id}`, {}, 'GET')]).toEqual([id, 'invalid_request_target']);
    }
  });

  test.each([
    '//v1/chat/completions',
    '/v1//chat/completions',
    '/v1/./chat/completions',
    '/v1/x/../chat/completions',
    'http://evil.example/v1/chat/completions',
    '*',
    '',
    '/v1/chat/completions#x',
    '/v1/chat/completions?a=\u0000',
    '/v1\\chat\\completions',
    `/${'x'.repeat(5000)}`,
    `${CHAT}?${'x'.repeat(5000)}`,
  ])('the target %j is 400', (url) =>
    expect(failure(url)).toMatchObject({ code: 'invalid_request_target', status: 400 }),
  );

  test.each([
    '/',
    '/v1',
    '/v1/chat/completions/',
    '/V1/chat/completions',
    '/v1/chat%2Fcompletions',
    '/v1/%63hat/completions',
    '/v1/models/',
    '/admin',
  ])('%j is 404', (url) => expect(failure(url, {}, 'GET')).toMatchObject({ code: 'not_found', status: 404 }));

  test('another method on a known path is 405 and tells which', () => {
    expect(failure(CHAT, {}, 'GET')).toMatchObject({ code: 'method_not_allowed', detail: { allow: 'POST' } });
    expect(failure('/v1/models/x', {}, 'DELETE')).toMatchObject({ status: 405, detail: { allow: 'GET' } });
  });

  test('errors of unknown paths are in the dialect of their prefix', () => {
    expect(
      ['/v1/messages', '/v1/messages/x', '/v1/messages?beta=true', '/v1/messagesx', '/', ''].map((url) =>
        dialectOf(url),
      ),
    ).toEqual(['anthropic', 'anthropic', 'anthropic', 'openai', 'openai', 'openai']);
  });
});

describe('headers', () => {
  test('a credential is taken from either header', () => {
    expect(head(CHAT, { authorization: 'Bearer aeg_1' }).credential).toBe('aeg_1');
    expect(head(CHAT, { Authorization: 'bEARER  aeg_1 ' }).credential).toBe('aeg_1');
    expect(head(CHAT, { 'X-Api-Key': 'aeg_2' }).credential).toBe('aeg_2');
    expect(head(CHAT).credential).toBeNull();
  });

  test('two credentials are refused', () => {
    expect(codeOf(CHAT, { authorization: 'Bearer a', 'x-api-key': 'a' })).toBe('duplicate_credential');
    expect(codeOf(CHAT, [...rawHeaders({ authorization: 'Bearer a' }), 'AUTHORIZATION', 'Bearer a'])).toBe(
      'duplicate_credential',
    );
    expect(codeOf(CHAT, [...rawHeaders({ 'x-api-key': 'a' }), 'X-API-Key', 'b'])).toBe('duplicate_credential');
  });

  test.each(['Basic eDp5', 'Bearer', 'Bearer a b', 'Bearer \u00e9', `Bearer ${'x'.repeat(9000)}`, ''])(
    'the authorization %j is no credential',
    (authorization) =>
      expect(failure(CHAT, { authorization })).toMatchObject({ code: 'invalid_credential', status: 401 }),
  );

  test.each(['a/?', 'a b', 'a,b', 'user@host', 'host:port', '[::1', '', `${'a'.repeat(300)}`])(
    'the host %j is 400',
    (host) =>
      expect(failure(CHAT, { Host: host })).toMatchObject({ code: 'invalid_header', detail: { param: 'host' } }),
  );
  test.each(['localhost', 'a.example.com:8080', '127.0.0.1:1', '[::1]:8080', 'my_host'])(
    'the host %j is fine',
    (host) => {
      expect(head(CHAT, { Host: host }).endpoint).toBe('chat.completions');
    },
  );

  test('a second host or purpose header is refused', () => {
    for (const name of ['host', 'content-type', 'x-aegis-workflow', 'x-aegis-tags']) {
      const error = failure(CHAT, [...rawHeaders({ [name]: 'a=b' }), name, 'c']);
      expect(error).toMatchObject({ code: 'invalid_header', detail: { param: name } });
    }
  });

  test('a body must be plain JSON in UTF-8', () => {
    for (const type of ['application/json', 'Application/JSON; charset=UTF-8', 'application/json;charset="utf-8"']) {
      expect(head(CHAT, { 'Content-Type': type }).contentLength).toBeNull();
    }
    for (const type of [
      '',
      'text/plain',
      'application/jsonx',
      'application/json; charset=latin1',
      'application/x-www-form-urlencoded',
    ]) {
      expect(failure(CHAT, { 'Content-Type': type })).toMatchObject({ status: 415 });
    }
    expect(codeOf(CHAT, ['Host', 'a'])).toBe('unsupported_media_type');
    expect(codeOf(CHAT, { 'content-encoding': 'gzip' })).toBe('unsupported_media_type');
    expect(head(CHAT, { 'content-encoding': 'identity', 'content-length': '12' }).contentLength).toBe(12);
    expect(codeOf(CHAT, { 'content-length': '1e3' })).toBe('invalid_header');
  });

  test('only listed headers are facts, and fewer go upstream', () => {
    const sent = {
      'anthropic-beta': 'a',
      'anthropic-version': '2023-06-01',
      'user-agent': 'sdk'.repeat(200),
      cookie: 'c',
      'openai-organization': 'o',
    };
    const { headers, upstreamHeaders, sourceIp } = head('/v1/messages', { ...sent, 'x-aegis-model': 'forged' });
    expect(headers).toEqual({
      'anthropic-beta': 'a',
      'anthropic-version': '2023-06-01',
      'user-agent': 'sdk'.repeat(200).slice(0, 256),
    });
    expect(upstreamHeaders).toEqual({ 'anthropic-beta': 'a', 'anthropic-version': '2023-06-01' });
    expect(sourceIp).toBe('192.0.2.7');
    expect(failure('/v1/messages', { 'anthropic-beta': 'b'.repeat(1025) })).toMatchObject({ code: 'input_too_large' });
  });

  test('header lines that may repeat are joined', () => {
    const raw = [...rawHeaders({ 'anthropic-beta': 'a' }), 'Anthropic-Beta', 'b'];
    expect(head('/v1/messages', raw).upstreamHeaders).toEqual({ 'anthropic-beta': 'a, b' });
  });
});

describe('purpose', () => {
  test('workflow, use case, session and tags are read', () => {
    const { purpose } = head(CHAT, {
      'x-aegis-workflow': ' grading ',
      'x-aegis-use-case': 'essay',
      'x-aegis-session': 's-1',
      'x-aegis-tags': 'course=CS101, institution=Z\u00c3\u00bcrich,empty=',
    });
    expect(purpose).toEqual({
      workflow: 'grading',
      use_case: 'essay',
      session: 's-1',
      tags: { course: 'CS101', institution: 'Zürich', empty: '' },
    });
    expect(head(CHAT).purpose).toEqual({ workflow: '', use_case: '', session: '', tags: {} });
  });

  test.each([
    ['x-aegis-workflow', 'w'.repeat(65)],
    ['x-aegis-session', 's'.repeat(129)],
    ['x-aegis-workflow', '\u00ff'],
    ['x-aegis-workflow', 'a\u00c2\u0085b'],
    ['x-aegis-tags', 'course'],
    ['x-aegis-tags', '=x'],
    ['x-aegis-tags', 'a=1,a=2'],
    ['x-aegis-tags', '__proto__=1'],
    ['x-aegis-tags', 'a b=1'],
    ['x-aegis-tags', `a=${'x'.repeat(129)}`],
    ['x-aegis-tags', Array.from({ length: 17 }, (_, index) => `t${index}=1`).join(',')],
  ])('%s: %j is 400 naming the header', (name, value) => {
    expect(failure(CHAT, { [name]: value })).toMatchObject({
      code: 'invalid_header',
      status: 400,
      detail: { param: name },
    });
  });

  test('the bounds are those of the input schema', () => {
    const schema = JSON.parse(readFileSync(new URL('../../../schemas/input.json', import.meta.url), 'utf8'));
    const { workflow, use_case, session, tags } = schema.properties.purpose.properties;
    expect([workflow.maxLength, use_case.maxLength, session.maxLength]).toEqual([64, 64, 128]);
    expect([tags.maxProperties, tags.propertyNames.maxLength, tags.additionalProperties.maxLength]).toEqual([
      16, 64, 128,
    ]);
    expect(schema.properties.request.properties.headers.additionalProperties.maxLength).toBe(1024);
  });
});

describe('newIds', () => {
  test('ids are unique, sort by time and share their body', () => {
    const early = newIds(1_000_000);
    const late = newIds(1_000_001);
    expect(early.requestId < late.requestId).toBe(true);
    expect(early.requestId.slice(4)).toBe(early.decisionId.slice(4));
    expect(early.requestId).toMatch(/^req_[0-9a-hjkmnp-tv-z]{26}$/);
    expect(new Set(Array.from({ length: 5000 }, () => newIds(5).requestId)).size).toBe(5000);
  });
});

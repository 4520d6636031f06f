import { describe, expect, test } from '@jest/globals';
import {
  type FailedAttempt,
  finalError,
  isContextOverflow,
  isRelayable,
  isRetriableFailure,
  isRetriableStatus,
  isSpendLimit,
  isTransientFailure,
  isTransientStatus,
  parseRetryAfterMs,
} from '../../../gateway/upstream/classify.ts';
import type { UpstreamFailure } from '../../../gateway/upstream/upstream.ts';

const status = (code: number, retryAfterMs: number | null = null, body = ''): FailedAttempt => ({
  status: code,
  failure: null,
  retryAfterMs,
  body: Buffer.from(body),
});
const failure = (kind: UpstreamFailure): FailedAttempt => ({
  status: null,
  failure: kind,
  retryAfterMs: null,
  body: Buffer.alloc(0),
});
const skip = (kind: UpstreamFailure, retryAfterMs: number | null): FailedAttempt => ({
  ...failure(kind),
  retryAfterMs,
});
const QUOTA = '{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}';

describe('what the next candidate may do better', () => {
  test.each([429, 500, 502, 503, 504, 529])('%i is tried elsewhere', (code) => {
    expect(isRetriableStatus(code)).toBe(true);
    expect(isRelayable(code)).toBe(false);
  });
  test.each([400, 404, 408, 409, 413, 422])('%i is the caller’s answer', (code) => {
    expect(isRetriableStatus(code)).toBe(false);
    expect(isRelayable(code)).toBe(true);
  });
  test.each([301, 307, 401, 402, 403, 407])('%i is neither: it is about the operator’s side', (code) => {
    expect(isRetriableStatus(code)).toBe(false);
    expect(isRelayable(code)).toBe(false);
  });
  test('every failure but a caller who left is tried elsewhere', () => {
    for (const kind of [
      'connect_failed',
      'connect_timeout',
      'first_byte_timeout',
      'reset',
      'invalid_response',
    ] as const) {
      expect(isRetriableFailure(kind)).toBe(true);
    }
    expect(isRetriableFailure('aborted')).toBe(false);
  });
});

describe('retry-after', () => {
  const now = Date.parse('2026-11-24T10:00:00Z');
  test.each([
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': ' 2 ' }, 2000],
    [{ 'retry-after': ['3', '9'] }, 3000],
    [{ 'retry-after-ms': '1500', 'retry-after': '2' }, 1500],
    [{ 'retry-after-ms': 'soon', 'retry-after': '2' }, 2000],
    [{ 'retry-after': 'Tue, 24 Nov 2026 10:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Tue, 24 Nov 2026 09:00:00 GMT' }, 0],
    [{ 'retry-after': '99999999' }, 86_400_000],
    [{ 'retry-after': '-1' }, null],
    [{ 'retry-after': '1e9' }, null],
    [{ 'retry-after': 'tomorrow' }, null],
    [{ 'retry-after': '' }, null],
    [{}, null],
  ])('of %j is %j ms', (headers, ms) => {
    expect(parseRetryAfterMs(headers, now)).toBe(ms);
  });
});

describe('the error after the last candidate', () => {
  test.each([
    ['connect_failed', 'upstream_error', 502],
    ['reset', 'upstream_error', 502],
    ['invalid_response', 'upstream_error', 502],
    ['connect_timeout', 'upstream_timeout', 504],
    ['first_byte_timeout', 'upstream_timeout', 504],
    ['idle_timeout', 'upstream_timeout', 504],
    ['aborted', 'client_closed_request', 499],
  ] as const)('of %s is %s', (kind, code, out) => {
    expect(finalError([status(500), failure(kind)])).toMatchObject({ code, status: out });
  });

  test.each([
    [429, 'rate_limited', 429],
    [500, 'upstream_error', 502],
    [502, 'upstream_error', 502],
    [503, 'upstream_error', 503],
    [504, 'upstream_timeout', 504],
    [529, 'upstream_error', 529],
    [401, 'upstream_error', 502],
    [302, 'upstream_error', 502],
  ])('of %i is %s %i', (from, code, out) => {
    expect(finalError([failure('reset'), status(from)])).toMatchObject({ code, status: out });
  });

  test('of 429 carries the longest wait any candidate asked for', () => {
    expect(finalError([status(429, 9000), status(503, 1000), status(429, 2000)]).detail.retryAfterMs).toBe(9000);
    expect(finalError([status(429)]).detail.retryAfterMs).toBeUndefined();
  });

  test('of an account without money tells the operator and no wait', () => {
    const error = finalError([status(429, 5000), status(429, null, QUOTA)]);
    expect(error).toMatchObject({ code: 'rate_limited', status: 429 });
    expect(error.detail.retryAfterMs).toBeUndefined();
    expect(error.detail.hint).toContain('operator');
  });

  test('says nothing the upstream said', () => {
    const secret = '{"error":{"message":"key sk-canary at https://canary.example is wrong"}}';
    for (const code of [302, 401, 429, 500, 503, 504, 529]) {
      const error = finalError([status(code, null, secret)]);
      expect(JSON.stringify([error.message, error.detail])).not.toContain('canary');
    }
  });

  test('without an attempt is no_candidate', () => {
    expect(finalError([])).toMatchObject({ code: 'no_candidate' });
  });
});

describe('the error when upstreams were passed over', () => {
  test.each([
    ['circuit_open', 'upstream_error', 503],
    ['overloaded', 'upstream_error', 503],
    ['retry_budget', 'upstream_error', 503],
    ['keys_resting', 'rate_limited', 429],
  ] as const)('for %s alone is %s %i with the soonest wait', (kind, code, out) => {
    const error = finalError([skip(kind, 9000), skip(kind, 4000), skip(kind, 7000)]);
    expect(error).toMatchObject({ code, status: out, detail: { retryAfterMs: 4000 } });
  });

  test('is of the class of the last one that was asked, and an upstream’s own wait goes before ours', () => {
    expect(finalError([status(529, 6000), skip('circuit_open', 1000)])).toMatchObject({
      status: 529,
      detail: { retryAfterMs: 6000 },
    });
    expect(finalError([status(500), skip('overloaded', 1000)])).toMatchObject({ status: 502 });
    expect(finalError([skip('keys_resting', 1000), failure('first_byte_timeout')])).toMatchObject({ status: 504 });
  });

  test('carries on 503 the largest wait that upstreams asked for', () => {
    expect(finalError([status(503, 9000), status(503, 2000)])).toMatchObject({
      status: 503,
      detail: { retryAfterMs: 9000 },
    });
  });
});

describe('a moment’s trouble, worth one more try of the same candidate', () => {
  test.each([
    [500, {}, null, true],
    [502, {}, null, true],
    [503, {}, 50, true],
    [529, {}, 0, true],
    [503, {}, 5000, false],
    [500, { 'x-should-retry': 'false' }, null, false],
    [429, {}, null, false],
    [504, {}, null, false],
    [400, {}, null, false],
  ])('is status %i with %j and a wait of %s: %s', (code, headers, wait, expected) => {
    expect(isTransientStatus(code, headers, wait)).toBe(expected);
  });

  test.each([
    ['reset', 'UND_ERR_SOCKET', true],
    ['connect_failed', 'ECONNREFUSED', true],
    ['connect_failed', 'ECONNRESET', true],
    ['connect_failed', 'ENOTFOUND', false],
    ['connect_failed', 'DEPTH_ZERO_SELF_SIGNED_CERT', false],
    ['connect_timeout', 'UND_ERR_CONNECT_TIMEOUT', false],
    ['first_byte_timeout', '', false],
    ['invalid_response', '', false],
    ['circuit_open', '', false],
    ['overloaded', '', false],
    ['aborted', '', false],
  ] as const)('is %s by %s: %s', (kind, code, expected) => {
    expect(isTransientFailure(kind, { code })).toBe(expected);
  });
});

describe('a spend limit', () => {
  const anthropic = (type: string, message: string) => JSON.stringify({ type: 'error', error: { type, message } });
  test.each([
    ['OpenAI', 429, QUOTA],
    ['OpenAI, hard limit', 429, '{"error":{"code":"billing_hard_limit_reached"}}'],
    ['OpenAI, account', 429, '{"error":{"type":"billing_not_active","code":"billing_not_active"}}'],
    ['Azure', 429, '{"error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}'],
    [
      'Anthropic, credit',
      400,
      anthropic('invalid_request_error', 'Your credit balance is too low to access the Anthropic API. Please …'),
    ],
    [
      'Anthropic, limit',
      400,
      anthropic(
        'invalid_request_error',
        'You have reached your specified API usage limits. You will regain access on …',
      ),
    ],
    ['Anthropic, billing', 403, anthropic('billing_error', 'There is an issue with your billing.')],
    ['Anthropic, 402', 402, anthropic('billing_error', 'x')],
    ['Mistral', 401, '{"message":"Inactive subscription or usage limit reached","request_id":"r"}'],
    ['Mistral, as FastAPI says it', 429, '{"detail":"Inactive subscription or usage limit reached"}'],
    [
      'LiteLLM',
      400,
      '{"error":{"message":"Budget has been exceeded! Current cost: 2, Max budget: 1","type":"budget_exceeded","param":null,"code":"400"}}',
    ],
    ['DeepSeek', 402, '{"error":{"message":"Insufficient Balance"}}'],
    ['any 402', 402, ''],
  ])('is recognised: %s', (_, code, body) => {
    expect(isSpendLimit(code, Buffer.from(body))).toBe(true);
  });

  test.each([
    ['a rate limit', 429, '{"error":{"code":"rate_limit_exceeded","type":"tokens"}}'],
    [
      'Anthropic’s rate limit',
      429,
      anthropic('rate_limit_error', 'This request would exceed your organization’s rate limit'),
    ],
    [
      'Gemini’s rate limit, which speaks of a quota',
      429,
      '[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details","status":"RESOURCE_EXHAUSTED"}}]',
    ],
    ['a 500', 500, QUOTA],
    ['no answer', null, QUOTA],
    [
      'a caller’s words in a message',
      400,
      anthropic('invalid_request_error', 'messages.0: unexpected value "Your credit balance is too low"'),
    ],
    [
      'a caller’s words as a code',
      400,
      '{"error":{"message":"bad value \\"insufficient_quota\\"","code":"invalid_value"}}',
    ],
    ['what is not JSON', 429, '"insufficient_quota"'],
  ])('is not: %s', (_, code, body) => {
    expect(isSpendLimit(code, Buffer.from(body))).toBe(false);
  });
});

describe('a call too long for the model', () => {
  const openai = (message: string, code: string | null = null) =>
    JSON.stringify({ error: { message, type: 'invalid_request_error', param: 'messages', code } });
  test.each([
    ['OpenAI', 400, openai('This model’s maximum context length is …', 'context_length_exceeded')],
    [
      'OpenAI, in words',
      400,
      openai("This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
    ],
    [
      'OpenAI responses',
      400,
      openai(
        'Your input exceeds the context window of this model. Please adjust your input and try again.',
        'context_length_exceeded',
      ),
    ],
    ['Azure', 400, openai("This model's maximum context length is 128000 tokens", 'context_length_exceeded')],
    [
      'Anthropic, prompt',
      400,
      '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}',
    ],
    [
      'Anthropic, with the cap',
      400,
      '{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again"}}',
    ],
    [
      'Anthropic, bytes',
      413,
      '{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}',
    ],
    [
      'Mistral',
      400,
      '{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","param":null,"code":"3051"}',
    ],
    [
      'vLLM',
      400,
      '{"object":"error","message":"This model\'s maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}',
    ],
    [
      'vLLM, newer',
      400,
      '{"error":{"message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","param":null,"code":400}}',
    ],
    [
      'llama.cpp',
      400,
      '{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":4096}}',
    ],
    [
      'llama.cpp, newer words',
      400,
      '{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"invalid_request_error"}}',
    ],
    [
      'Gemini',
      400,
      '[{"error":{"code":400,"message":"The input token count (2800010) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}]',
    ],
    [
      'Gemini 2.5',
      400,
      '{"error":{"code":400,"message":"The input token count exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}',
    ],
    ['LiteLLM', 400, openai('litellm.ContextWindowExceededError: litellm.BadRequestError: OpenAIException - too long')],
    [
      'OpenRouter',
      400,
      '{"error":{"message":"This endpoint\'s maximum context length is 16384 tokens. However, you requested about 94307 tokens","code":400}}',
    ],
    ['Ollama', 500, '{"error":"the input length exceeds the context length"}'],
  ])('is recognised as %s says it', (_, code, body) => {
    expect(isContextOverflow(code, Buffer.from(body))).toBe(true);
  });

  test.each([
    ['another refusal', 400, openai('temperature is too high')],
    [
      'a cap that is too large',
      400,
      openai('max_tokens is too large: 99999. This model supports at most 16384 completion tokens'),
    ],
    [
      'a rate limit by size',
      429,
      openai('Request too large for gpt-5: Limit 30000, Requested 40000', 'rate_limit_exceeded'),
    ],
    ['a body that is no JSON', 413, '<html>413 Request Entity Too Large</html>'],
    ['an answer', 200, openai('x', 'context_length_exceeded')],
  ])('is not %s', (_, code, body) => {
    expect(isContextOverflow(code, Buffer.from(body))).toBe(false);
  });
});

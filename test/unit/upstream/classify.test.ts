import { describe, expect, test } from '@jest/globals';
import {
  type FailedAttempt,
  finalError,
  isRelayable,
  isRetriableFailure,
  isRetriableStatus,
  isSpendLimit,
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

test('a spend limit is a 429 that says so', () => {
  expect(isSpendLimit(429, Buffer.from(QUOTA))).toBe(true);
  expect(isSpendLimit(429, Buffer.from('{"error":{"code":"billing_hard_limit_reached"}}'))).toBe(true);
  expect(isSpendLimit(429, Buffer.from('{"error":{"code":"rate_limit_exceeded"}}'))).toBe(false);
  expect(isSpendLimit(500, Buffer.from(QUOTA))).toBe(false);
});

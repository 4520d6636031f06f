import { describe, expect, test } from '@jest/globals';
import { rateLimitHeaders } from '../../../gateway/stages/admit.ts';

describe('rateLimitHeaders', () => {
  test.each([
    [0.2, '1ms'],
    [999, '999ms'],
    [1500, '1.5s'],
    [59_940, '59.9s'],
    [59_960, '1m0s'],
    [119_600, '2m0s'],
    [119_400, '1m59s'],
    [3_600_000, '60m0s'],
  ])('writes %d ms as %s', (resetMs, text) => {
    const state = { kind: 'requests', scope: 'key', subject: 'k', limit: 5, remaining: 2, resetMs } as const;
    expect(rateLimitHeaders([state])['x-ratelimit-reset-requests']).toBe(text);
  });
});

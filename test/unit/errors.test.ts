import { describe, expect, test } from '@jest/globals';
import { ERRORS, GatewayError, isGatewayError } from '../../gateway/errors.ts';

describe('errors', () => {
  test('an error carries the status of its code, or the upstream’s own', () => {
    expect(new GatewayError('policy_denied', 'no').status).toBe(403);
    expect(new GatewayError('upstream_error', 'no', { status: 529 }).status).toBe(529);
  });

  test('only gateway errors are recognised, in any realm', () => {
    expect(isGatewayError(new GatewayError('not_found', 'x'))).toBe(true);
    expect(isGatewayError(new TypeError('x'))).toBe(false);
    expect(isGatewayError('policy_denied')).toBe(false);
  });

  test('each code has a 4xx or 5xx status', () => {
    for (const row of Object.values(ERRORS)) expect(row.status).toBeGreaterThanOrEqual(400);
  });
});

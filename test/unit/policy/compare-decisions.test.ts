import { describe, expect, test } from '@jest/globals';
import { differenceOf } from '../../../gateway/policy/compare-decisions.ts';
import { allowing, refusing } from '../../support/fake-policy.ts';

const routed = (...candidates: { model: string; upstream: string }[]) =>
  allowing({ route: { ...allowing().route, candidates } });
const small = { model: 'small', upstream: 'openai' };
const limit = (subject: string) => ({ scope: 'org' as const, subject, requests_per_minute: 5 });

describe('two decisions on one input', () => {
  test('differ by their verdict first', () => {
    expect(differenceOf(allowing(), refusing())).toBe('newly_denied');
    expect(differenceOf(refusing(), allowing())).toBe('newly_allowed');
  });

  test('then by the model or the upstream that is asked first', () => {
    expect(differenceOf(routed(small), routed({ model: 'dear', upstream: 'openai' }, small))).toBe('model_moved');
    expect(differenceOf(routed(small), routed({ model: 'small', upstream: 'azure' }))).toBe('model_moved');
  });

  test.each([
    ['a fallback', routed(small, { model: 'dear', upstream: 'openai' })],
    ['the tier', allowing({ rate: { tier: 'gold', limits: [] } })],
    ['a limit', allowing({ rate: { tier: 'free', limits: [limit('org')] } })],
    ['a parameter', allowing({ parameters: { max_output_tokens: 5 } })],
    ['a tool', allowing({ tools: { remove: ['search'] } })],
    ['the audit', allowing({ audit: { content: 'full', retention_days: 1 } })],
    ['redaction', allowing({ redact: [{ entity: 'email', action: 'tokenize', in: ['request'], restore: ['text'] }] })],
    ['who is acted for', allowing({ acting_for: 'sam' })],
  ])('then by %s', (_, candidate) => {
    expect(differenceOf(allowing(), candidate)).toBe('otherwise');
  });

  test('are the same whatever the words, the rules and the order of a set', () => {
    const one = allowing({ rules: ['a'], rate: { tier: 'free', limits: [limit('a'), limit('b')] }, acting_for: null });
    const other = allowing({ rules: ['b'], rate: { tier: 'free', limits: [limit('b'), limit('a')] } });
    expect(differenceOf(one, { ...other, route: { ...other.route, reason: 'another' } })).toBe('same');
  });

  test('that both refuse differ only by their code', () => {
    expect(differenceOf(refusing('a'), { ...refusing('a'), rate: { tier: 'gold', limits: [] } })).toBe('same');
    expect(differenceOf(refusing('a'), refusing('b'))).toBe('otherwise');
  });
});

import { describe, expect, test } from '@jest/globals';
import { protocolOf } from '../../../gateway/protocol/protocols.ts';
import { AnswerContent } from '../../../gateway/stages/answer-content.ts';
import { createOutputBound } from '../../../gateway/stages/output-bound.ts';
import { estimateTokens } from '../../../gateway/tokens.ts';
import { chatStream } from '../../support/answers.ts';

/** Counts events until the bound is reached; undefined where it never is. */
const cutAfter = (
  tokens: number,
  events: number,
  eventBytes: (at: number) => number,
  tokensOf: (events: number) => number,
): { cut: number | undefined; looks: number } => {
  let at = 0;
  let looks = 0;
  const bound = createOutputBound(tokens, () => {
    looks++;
    return tokensOf(at);
  });
  for (; at < events; ) {
    at++;
    try {
      bound.count(eventBytes(at));
    } catch (error) {
      expect(error).toMatchObject({ code: 'budget_exceeded' });
      return { cut: at, looks };
    }
  }
  return { cut: undefined, looks };
};

describe('the output bound of a stream', () => {
  test.each([1, 20, 1_000, 4_096, 128_000])('never cuts an answer that is at its cap of %d tokens', (tokens) => {
    expect(
      cutAfter(
        tokens,
        tokens,
        () => 250,
        (events) => events,
      ).cut,
    ).toBeUndefined();
    // Estimated as much too high as an estimate can be.
    expect(
      cutAfter(
        tokens,
        tokens,
        () => 250,
        (events) => events * 1.4,
      ).cut,
    ).toBeUndefined();
  });

  test.each([1, 20, 1_000, 4_096, 128_000])('cuts a steady stream soon after %d tokens and the margin', (tokens) => {
    const { cut } = cutAfter(
      tokens,
      tokens * 3 + 1_000,
      () => 250,
      (events) => events,
    );
    expect(cut).toBeGreaterThan(tokens * 1.5);
    expect(cut).toBeLessThan(tokens * 1.5 + 64 + 4_096 / 250 + 2);
  });

  test('cuts a stream whose events become dense after a thin start', () => {
    const tokensOf = (events: number): number => Math.min(events, 100) + Math.max(0, events - 100) * 250;
    const { cut } = cutAfter(4_096, 10_000, (at) => (at > 100 ? 1_000 : 250), tokensOf);
    expect(tokensOf(cut!)).toBeLessThan(4_096 * 32);
  });

  test('looks at an answer of a third of its cap once or twice', () => {
    expect(
      cutAfter(
        4_096,
        1_400,
        () => 250,
        (events) => events,
      ).looks,
    ).toBeLessThanOrEqual(3);
    expect(
      cutAfter(
        4_096,
        4_096,
        () => 250,
        (events) => events,
      ).looks,
    ).toBeLessThanOrEqual(24);
  });

  test('a stream that cannot be counted goes on, but not for ever', () => {
    let bytes = 0;
    const bound = createOutputBound(100, () => {
      throw new TypeError('unreadable');
    });
    expect(() => {
      for (; bytes < 10_000_000; bytes += 1_000) bound.count(1_000);
    }).toThrow('used up what was reserved');
    expect(bytes).toBeGreaterThan(200_000);
    expect(bytes).toBeLessThan(300_000);
  });
});

describe('an estimate of a stream', () => {
  const TEXT = 'Photosynthesis converts electromagnetic radiation into chemical energy; chlorophyll absorbs it. ';
  const estimate = (pieces: readonly string[], wire: 'chat.completions' | 'messages' = 'chat.completions'): number => {
    const listener = { lags: () => {}, caughtUp: () => {}, failed: () => {} };
    const audit = { openContent: () => Promise.reject(new Error('nothing is kept')) as never };
    const answer = new AnswerContent({ audit, keep: undefined, wire: protocolOf(wire), isChanged: false, listener });
    for (const piece of pieces) answer.receive(Buffer.from(piece));
    return answer.estimateOutput();
  };

  test('is the same whether the text comes letter by letter or at once', () => {
    const text = TEXT.repeat(15);
    const whole = estimate(chatStream([text]));
    expect(whole).toBe(estimateTokens(text));
    expect(Math.abs(estimate(chatStream([...text])) - whole)).toBeLessThanOrEqual(1);
  });

  test('counts thinking that no caller’s value is restored in', () => {
    const delta = { type: 'thinking_delta', thinking: TEXT };
    const event = `event: content_block_delta\ndata: ${JSON.stringify({ type: 'content_block_delta', index: 0, delta })}\n\n`;
    expect(estimate([event], 'messages')).toBe(estimateTokens(TEXT));
  });
});

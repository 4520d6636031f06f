import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseTraceparent, randomHex, remoteSpanOf, Trace } from '../../gateway/trace.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('a traceparent', () => {
  test.each([
    [`00-${TRACE}-${SPAN}-01`, true],
    [`00-${TRACE}-${SPAN}-00`, false],
    [`00-${TRACE}-${SPAN}-03`, true],
    [`00-${TRACE}-${SPAN}-fe`, false],
    [`cc-${TRACE}-${SPAN}-01-what-comes-later`, true],
  ])('%s is one', (text, isSampled) => {
    expect(parseTraceparent(text)).toEqual({ traceId: TRACE, spanId: SPAN, isSampled });
  });

  test.each([
    ['nothing', ''],
    ['another text', 'Bearer x'],
    ['the version ff', `ff-${TRACE}-${SPAN}-01`],
    ['more than version 00 has', `00-${TRACE}-${SPAN}-01-x`],
    ['more without a dash', `01-${TRACE}-${SPAN}-01x`],
    ['upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['a trace of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a span of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['a short trace', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['no flags', `00-${TRACE}-${SPAN}`],
    ['a line end', `00-${TRACE}-${SPAN}-01\n`],
    ['a value without an end', `cc-${TRACE}-${SPAN}-01-${'x'.repeat(300)}`],
  ])('with %s is none', (_, text) => {
    expect(parseTraceparent(text)).toBeNull();
  });

  test('is none whatever the text, or one whose parts are as long as they must be', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        const span = parseTraceparent(text);
        if (span) expect([span.traceId.length, span.spanId.length]).toEqual([32, 16]);
      }),
    );
  });

  test('is found among header lines in any case; two of them are none', () => {
    const line = ['TraceParent', `00-${TRACE}-${SPAN}-01`];
    expect(remoteSpanOf(['host', 'x', ...line, 'accept', '*/*'])?.traceId).toBe(TRACE);
    expect(remoteSpanOf([...line, ...line])).toBeNull();
    expect(remoteSpanOf(['host', `00-${TRACE}-${SPAN}-01`])).toBeNull();
  });
});

describe('the trace of a request', () => {
  test('is the caller’s where there is one, with a span of its own', () => {
    const trace = new Trace({ traceId: TRACE, spanId: SPAN, isSampled: true }, true);
    expect(trace.traceId).toBe(TRACE);
    expect(trace.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(trace.spanId).not.toBe(SPAN);
  });

  test('is a new one otherwise, the same whenever it is asked', () => {
    const trace = new Trace();
    expect(trace.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(trace.traceId).toBe(trace.traceId);
    expect(trace.spanId).toBe(trace.spanId);
    expect(new Trace().traceId).not.toBe(trace.traceId);
  });

  test('tells each attempt in a span of its own, and whether it is recorded', () => {
    const trace = new Trace(null, true);
    const first = trace.attempt(0, 5);
    const second = trace.attempt(2, 7);
    expect(first).toBe(`00-${trace.traceId}-${trace.attempts[0]?.spanId}-01`);
    expect(second).toBe(`00-${trace.traceId}-${trace.attempts[2]?.spanId}-01`);
    expect(trace.attempts[1]).toBeUndefined();
    expect(trace.attempts[0]?.spanId).not.toBe(trace.attempts[2]?.spanId);
    expect(new Trace({ traceId: TRACE, spanId: SPAN, isSampled: true }, false).attempt(0, 0)).toMatch(/-00$/);
  });

  test('ids do not repeat', () => {
    const ids = new Set(Array.from({ length: 20_000 }, () => randomHex(8)));
    expect(ids.size).toBe(20_000);
  });
});

import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSseSplitter, eventData, splitEvents } from '../../gateway/protocol/sse.ts';

const FIXTURES = new URL('../fixtures/provider-recordings/', import.meta.url);
const payloads = readFileSync(new URL('mistral/mistral-text.chunks.txt', FIXTURES), 'utf8').trim().split('\n');
const END = ['\n', '\r\n', '\r'] as const;

/** A stream of events with comments, several data lines and any line ends, and what each event says. */
const stream = fc
  .array(
    fc.record({
      data: fc.oneof(
        fc.constantFrom(...payloads),
        fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[\r\n]/g, '')),
        fc.constant('é😀語'),
      ),
      name: fc.option(fc.constantFrom('ping', 'delta')),
      comment: fc.boolean(),
      end: fc.constantFrom(...END),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((events) => ({
    said: events.map(({ data, name }) => ({ event: name, data })),
    bytes: Buffer.from(
      events
        .map(
          ({ data, name, comment, end }) =>
            `${comment ? `: c${end}` : ''}${name === null ? '' : `event: ${name}${end}`}data: ${data}${end}${end}`,
        )
        .join(''),
    ),
  }));

describe('the SSE splitter', () => {
  test('20,000 streams cut at random bytes come out byte for byte, in whole events', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), ({ bytes, said }, cuts) => {
        const splitter = createSseSplitter({ maxEventBytes: 1 << 20 });
        const places = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length];
        const out: Buffer[] = [];
        for (let index = 1; index < places.length; index++) {
          const whole = splitter.push(bytes.subarray(places[index - 1], places[index]));
          if (whole.length === 0) continue;
          out.push(whole);
          // What is given ends at a blank line.
          expect(whole.toString()).toMatch(/(?:\n|\r)(?:\r\n|\n|\r)$|^(?:\n|\r)$/);
        }
        out.push(splitter.end());
        const all = Buffer.concat(out);
        if (!all.equals(bytes)) throw new Error('bytes changed');
        expect(splitter.held).toBe(0);
        const events = out.flatMap(splitEvents).map(eventData);
        expect(events.filter(({ data }) => data !== null)).toEqual(said);
      }),
      { numRuns: 20_000 },
    );
  }, 120_000);
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { scanJson } from '../../gateway/protocol/json-scan.ts';
import { splice } from '../../gateway/protocol/splice.ts';
import { createDetector } from '../../gateway/redact/detect.ts';
import { allFindings, inspect, replacements } from '../../gateway/stages/findings.ts';

const detector = createDetector();
const VALUES = [
  'jane.doe@example.com',
  '4111 1111 1111 1111',
  'DE89370400440532013000',
  '203.0.113.77',
  `AKIA${'Q7'.repeat(8)}`,
  '536-22-8726',
];

/** Text around a value that does not touch it. */
const filler = fc.constantFrom('', 'see ', 'über 語 😀 ', 'line\n', '{ "x" ', 'tab\t', '\u0001 ');
const holding = fc
  .tuple(filler, fc.constantFrom(...VALUES), filler)
  .map(([before, value, after]) => `${before}${value} ${after}`);
const plain = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => text !== '__proto__'),
  fc.constantFrom('role', 'content', 'a long clean sentence without anything'),
);

/** JSON around strings: lists, members, keys, and JSON in strings. */
const wrap = (text: fc.Arbitrary<string>): fc.Arbitrary<unknown> =>
  text.chain((value) =>
    fc.constantFrom<unknown>(
      [value],
      { a: value },
      { [value]: 1 },
      { deep: [{ arguments: JSON.stringify({ v: value }) }] },
      { v: JSON.stringify([JSON.stringify(value)]) },
    ),
  );

describe('inspect', () => {
  test('every planted value is found and replaced wherever it stands, and nothing is left of it', () => {
    fc.assert(
      fc.property(
        fc.array(wrap(plain), { maxLength: 8 }),
        fc.array(wrap(holding), { minLength: 1, maxLength: 4 }),
        fc.array(wrap(plain), { maxLength: 8 }),
        fc.boolean(),
        (before, held, after, hides) => {
          const body = { before, held, after };
          let text = JSON.stringify(body);
          if (hides) text = text.replaceAll('@', '\\u0040').replaceAll('4111', '4\\u0031\\u00311');
          const raw = Buffer.from(text);
          const findings = inspect(raw, scanJson(raw), detector);
          expect([...allFindings(findings)].length).toBeGreaterThanOrEqual(held.length);
          const out = splice(
            raw,
            replacements(findings, () => '<gone>'),
          );
          // Parsed at every level, so that no escape hides what is left.
          const strings: string[] = [];
          const collect = (value: unknown): void => {
            if (typeof value === 'string') {
              strings.push(value);
              try {
                collect(JSON.parse(value));
              } catch {}
            } else if (typeof value === 'object' && value !== null)
              for (const [key, inner] of Object.entries(value)) {
                collect(key);
                collect(inner);
              }
          };
          collect(JSON.parse(out.toString()));
          for (const value of VALUES) expect(strings.filter((left) => left.includes(value))).toEqual([]);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

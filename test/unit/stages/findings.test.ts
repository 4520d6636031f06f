import { describe, expect, test } from '@jest/globals';
import { scanJson } from '../../../gateway/protocol/json-scan.ts';
import { splice } from '../../../gateway/protocol/splice.ts';
import type { Detector } from '../../../gateway/redact/redactor.ts';
import { allFindings, type Findings, inspect, replacements } from '../../../gateway/stages/findings.ts';

/** Finds e-mail addresses and runs of 9 digits or more; counts how often it was asked. */
const createFake = (): Detector & { calls: number } => ({
  name: 'fake',
  calls: 0,
  detect(text) {
    this.calls++;
    return [...text.matchAll(/\w+@\w+\.\w+|\b\d{9,}\b/g)].map((match) => ({
      entity: match[0].includes('@') ? ('email' as const) : ('phone' as const),
      start: match.index,
      end: match.index + match[0].length,
    }));
  },
});
const look = (text: string, opaque?: ReadonlySet<number>): Findings => {
  const raw = Buffer.from(text);
  return inspect(raw, scanJson(raw), createFake(), opaque);
};
const masked = (text: string): string => {
  const findings = look(text);
  return splice(
    findings.raw,
    replacements(findings, (_, { entity }) => `<${entity}>`),
  ).toString();
};

describe('inspect', () => {
  test('strings, keys and long numbers are looked at wherever they are', () => {
    expect(masked('{"x":[{"me@a.de":"you@b.de"}],"n":[1234567890,12345678],"z":"a@b.de\\n"}')).toBe(
      '{"x":[{"<email>":"<email>"}],"n":["<phone>",12345678],"z":"<email>\\n"}',
    );
  });

  test('no escape hides a value', () => {
    expect(masked('{"x":"me\\u0040a.de"}')).toBe('{"x":"<email>"}');
    expect(masked('{"me\\u0040a.de":1}')).toBe('{"<email>":1}');
    expect(masked('{"x":"\\n123456789\\n"}')).toBe('{"x":"\\n<phone>\\n"}');
  });

  test('JSON in a string stays JSON, at any depth of strings up to the bound', () => {
    const inner = JSON.stringify({ to: 'me@a.de', 'n"': [1234567890], q: 'say "hi"' });
    const outer = JSON.stringify({ arguments: inner });
    const out = JSON.parse(masked(outer));
    expect(JSON.parse(out.arguments)).toEqual({ to: '<email>', 'n"': ['<phone>'], q: 'say "hi"' });
    const twice = JSON.parse(masked(JSON.stringify({ a: outer })));
    expect(JSON.parse(JSON.parse(twice.a).arguments).to).toBe('<email>');
    const hidden = masked(JSON.stringify({ a: '{"e":"me\\u0040a.de","e":1}' }));
    expect(JSON.parse(hidden).a).toBe('{"e":"<email>","e":1}');
  });

  test('a text in a data URL is looked at as what it says, among many strings too', () => {
    const before = Array.from({ length: 40 }, (_, index) => `number ${index}`);
    const url = (text: string, type = 'text/plain;charset=utf-8'): string =>
      `data:${type};base64,${Buffer.from(text).toString('base64')}`;
    const json = '{"e":"me\\u0040a.de"}';
    const files = [url('I am me@a.de. 😀'), url(json, 'application/json'), url('nobody')];
    const binary = url('me@a.de', 'image/png');
    expect(JSON.parse(masked(JSON.stringify({ before, files, binary })))).toEqual({
      before,
      files: [url('I am <email>. 😀'), url('{"e":"<email>"}', 'application/json'), url('nobody')],
      binary,
    });
    const latin1 = 'data:text/plain;base64,bWVAYS5kZSD8';
    expect(masked(JSON.stringify({ latin1 }))).toBe(JSON.stringify({ latin1 }));
  });

  test('a string that only looks like JSON is looked at as text', () => {
    expect(masked('{"a":"{\\"not json me@a.de"}')).toBe('{"a":"{\\"not json <email>"}');
    let deep = '"me@a.de"';
    for (let level = 0; level < 8; level++) deep = JSON.stringify({ v: deep });
    expect([...allFindings(look(deep))].map(({ entity }) => entity)).toEqual(['email']);
  });

  test('opaque tokens are left alone, the others are not', () => {
    const text = '{"data":"a@b.de","text":"a@b.de"}';
    expect(look(text, new Set([1])).tokens.map(({ token }) => token)).toEqual([3]);
  });

  test('a body in which nothing is found is looked at once', () => {
    const raw = Buffer.from(
      JSON.stringify({ messages: Array.from({ length: 50 }, (_, i) => ({ role: 'user', content: `number ${i}` })) }),
    );
    const fake = createFake();
    expect(inspect(raw, scanJson(raw), fake).tokens).toEqual([]);
    expect(fake.calls).toBe(1);
  });

  test('a value is found among many strings, whatever stands before it', () => {
    const before = Array.from({ length: 40 }, (_, index) => `wörd 語 😀 number ${index}`);
    for (const value of ['me@a.de', '123456789', '\u0001me@a.de']) {
      const text = JSON.stringify({ a: before, [value]: 'kept', b: [value, 'x'], c: before });
      expect(masked(text)).toBe(text.replaceAll(/me@a\.de/g, '<email>').replaceAll('123456789', '<phone>'));
    }
  });

  test('a token in which nothing is replaced keeps its bytes', () => {
    const findings = look('{"x":"me\\u0040a.de \\/ 123456789"}');
    expect(replacements(findings, (value) => value)).toEqual([]);
  });

  test('the name of a member is context for its value but no part of it', () => {
    const contextual: Detector = {
      name: 'contextual',
      detect: (text) => {
        const match = /phone\D{1,4}(\d{7})/.exec(text);
        return match
          ? [{ entity: 'phone', start: match.index + match[0].length - 7, end: match.index + match[0].length }]
          : [];
      },
    };
    const raw = Buffer.from('{"phone":"5551234","other":"5551234"}');
    const findings = inspect(raw, scanJson(raw), contextual);
    expect(findings.tokens).toMatchObject([{ token: 1, text: '5551234', findings: [{ start: 0, end: 7 }] }]);
  });
});

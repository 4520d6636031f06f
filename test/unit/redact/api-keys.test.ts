import { describe, expect, test } from '@jest/globals';
import { createDetector } from '../../../gateway/redact/detect.ts';

const detector = createDetector();

/** A body that no service ever issued, put together here so that no scanner of repositories takes it for a real key. */
const body = (length: number): string => 'a1B2c3D4e5F6g7H8'.repeat(20).slice(0, length);
const upper = (length: number): string => 'Q2W3E4R5T6Y7U2I3'.slice(0, length);

const KEYS: readonly (readonly [string, string])[] = [
  ['openai', `sk-${body(48)}`],
  ['openai', `sk-proj-${body(30)}_${body(30)}-${body(30)}`],
  ['anthropic', `sk-ant-api03-${body(60)}-_${body(20)}AA`],
  ['openrouter', `sk-or-v1-${body(64)}`],
  ['aws', `AKIA${upper(16)}`],
  ['aws', `ASIA${upper(16)}`],
  ['github', `ghp_${body(36)}`],
  ['github', `gho_${body(36)}`],
  ['github', `ghs_${body(36)}`],
  ['github', `github_pat_${body(22)}_${body(59)}`],
  ['gitlab', `glpat-${body(20)}`],
  ['slack', `xoxb-${'123456789012'}-${'123456789013'}-${body(24)}`],
  ['google', `AIza${body(35)}`],
  ['stripe', `sk_live_${body(24)}`],
  ['stripe', `rk_live_${body(24)}`],
  ['huggingface', `hf_${body(34)}`],
  ['npm', `npm_${body(36)}`],
  ['sendgrid', `SG.${body(22)}.${body(43)}`],
  ['groq', `gsk_${body(52)}`],
  ['aegis', `aeg_live_${body(49)}`],
  ['jwt', `eyJhbGciOiJIUzI1NiJ9.eyJ${body(30)}.${body(43)}`],
  ['jwt', `eyJhbGciOiJub25lIiwieCI6MX0.eyJ${body(30)}.`],
  ['jwt', `eyJhbGciOiJSU0EtT0FFUCJ9.${body(20)}.${body(16)}.${body(20)}.${body(22)}`],
];

describe('API keys', () => {
  test.each(KEYS)('of %s are found whole and named: %s', (kind, key) => {
    for (const text of [key, `key=${key}`, `"${key}"`, `Bearer ${key}\n`, `(${key})`]) {
      const start = text.indexOf(key);
      expect(detector.detect(text)).toEqual([{ entity: 'api_key', start, end: start + key.length, kind }]);
    }
  });

  test.each(KEYS)('of %s are not seen within a word: x%s', (_, key) => {
    expect(detector.detect(`x${key}`).filter(({ start }) => start <= 1)).toEqual([]);
  });

  test.each([
    'class="sk-fading-circle sk-cube-grid-animation-slow"',
    'risk-averse task-oriented desk-bound',
    'sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
    'npm_config_registry hf_hub_download',
    'AKIA is a prefix',
    'eyJ.eyJ.x',
    'MESSAGE_SG.x.y',
  ])('are not seen in %j', (text) => expect(detector.detect(text)).toEqual([]));

  test('a key longer than any published one is taken to its end', () => {
    const key = `sk-proj-${body(300)}`;
    expect(detector.detect(`${key} x`)).toMatchObject([{ start: 0, end: key.length }]);
  });
});

describe('private keys', () => {
  const lines = Array.from({ length: 8 }, () => body(64)).join('\n');

  test.each(['PRIVATE KEY', 'RSA PRIVATE KEY', 'OPENSSH PRIVATE KEY', 'PGP PRIVATE KEY BLOCK'])(
    '%s is one finding',
    (label) => {
      const block = `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----`;
      expect(detector.detect(`x ${block} y`)).toEqual([
        { entity: 'api_key', start: 2, end: 2 + block.length, kind: 'private_key' },
      ]);
    },
  );

  test('a block that is cut off is taken as far as its lines go', () => {
    const block = `-----BEGIN PRIVATE KEY-----\n${lines}`;
    expect(detector.detect(`${block}\nand then`)).toMatchObject([{ start: 0, end: block.length }]);
  });

  test('a block whose line breaks are written as \\n is one finding', () => {
    const block = `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----`.replaceAll('\n', '\\n');
    expect(detector.detect(block)).toMatchObject([{ start: 0, end: block.length }]);
  });

  test('a public key, a certificate and a mere mention are not findings', () => {
    expect(detector.detect(`-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----`)).toEqual([]);
    expect(detector.detect(`-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----`)).toEqual([]);
    expect(detector.detect('It starts with -----BEGIN PRIVATE KEY----- and so on.')).toEqual([]);
  });
});

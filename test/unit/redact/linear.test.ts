import { describe, expect, test } from '@jest/globals';
import { createDetector } from '../../../gateway/redact/detect.ts';
import { createVaults } from '../../../gateway/redact/vault.ts';

const UNITS = [
  'a@',
  'a.b@c.d.e@',
  'a.',
  '%40',
  '1',
  '1 ',
  '12 ',
  '123-',
  '123 ',
  '01 ',
  '1234 ',
  '4111 ',
  '+1',
  '+1 ',
  '+12345678 ',
  'tel +1234567 ',
  '001 ',
  '(0',
  '1.1.',
  '1.1.1.1 ',
  'sk-',
  'sk-a1',
  'sk-ant-',
  'xoxb-',
  'ghp_',
  'github_pat_',
  'AKIA',
  'AIza-',
  'SG.',
  '::',
  'a::',
  '1:',
  'a:b:',
  'eyJ',
  '.eyJ',
  '-eyJ',
  'eyJhbGciOiJIUzI1NiJ9.',
  '-----BEGIN ',
  '-----BEGIN PRIVATE KEY-----',
  '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n',
  'DE89 ',
  'GB33BUKB',
  'call 12 ',
  'call 12345678 ',
  '\uff11',
  '\u00a0',
  '\ud83d',
  'J',
  '_',
  '-',
];

/**
 * CPU time of four times the text, as a multiple. A linear scan has 4, a quadratic one 16; the bound leaves room for
 * what others do on the machine. The least of several rounds counts.
 */
const growth = (run: (text: string) => unknown, unit: string): number => {
  const text = (length: number): string => unit.repeat(Math.ceil(length / unit.length));
  const best = (length: number): number => {
    const given = text(length);
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 4; round++) {
      const before = process.cpuUsage();
      run(given);
      const { user, system } = process.cpuUsage(before);
      least = Math.min(least, user + system);
    }
    return least;
  };
  best(10_000);
  return best(200_000) / Math.max(best(50_000), 200);
};

describe('hostile texts', () => {
  const detector = createDetector();
  test.each(UNITS)('detecting in a row of %j is linear', (unit) => {
    expect(growth((text) => detector.detect(text), unit)).toBeLessThan(10);
  });

  const vault = createVaults(Buffer.alloc(32, 1))('scope');
  const placeholder = vault.replace('bob@example.com', 'email', {
    entity: 'email',
    action: 'tokenize',
    in: ['request'],
    restore: ['text'],
  });
  test.each([placeholder, placeholder.slice(0, -1), 'EMAIL_', 'EMAIL', '_', '](', '<a href="', 'https://'])(
    'restoring in a row of %j is linear',
    (unit) => expect(growth((text) => vault.restore(text, 'text'), unit)).toBeLessThan(10),
  );
});

/** Micro-benchmark of detecting, masking and restoring. `node bench/redact.ts [--json]`: medians of several rounds. */

import { createDetector } from '../gateway/redact/detect.ts';
import type { Entity, RedactRule } from '../gateway/redact/redactor.ts';
import { createVaults } from '../gateway/redact/vault.ts';
import { cpuUs } from './cpu-us.ts';

interface Row {
  readonly name: string;
  readonly us: number;
  readonly megabytesPerSecond: number | null;
}

const WORDS =
  'the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know student course essay explain'.split(
    ' ',
  );

/** English prose without anchors but a hyphen, a colon, an underscore and a number now and then. Always the same. */
const prose = (length: number): string => {
  let seed = 1;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return seed % below;
  };
  let text = '';
  while (text.length < length) {
    const sentence = Array.from({ length: 6 + random(12) }, () => WORDS[random(WORDS.length)] ?? 'the').join(' ');
    const tail = ['. ', '. ', ', I said: ', ' - ', '? ', `, in ${1900 + random(120)}. `][random(6)];
    text += sentence.charAt(0).toUpperCase() + sentence.slice(1) + tail;
  }
  return Buffer.from(text.slice(0, length)).toString('latin1');
};

const detector = createDetector();
const rule = (entity: Entity): RedactRule => ({ entity, action: 'tokenize', in: ['request'], restore: ['text'] });
const openVault = createVaults(Buffer.alloc(32, 7));
const VALUES: readonly (readonly [string, Entity])[] = [
  ['bob@example.com', 'email'],
  ['+1 415 555 2671', 'phone'],
  ['192.0.2.44', 'ip'],
];
const withThree = `${prose(150)} bob@example.com ${prose(40)} +1 415 555 2671 or 192.0.2.44 ${prose(40)}`;

const emptyVault = openVault('scope');
const fullVault = openVault('scope');
const placeholders = VALUES.map(([value, entity]) => fullVault.replace(value, entity, rule(entity)));
const answer = `${prose(400)} ${placeholders.join(' and ')} ${prose(400)}`;
const chunks = answer.match(/.{1,20}/gs) ?? [];

const HOSTILE: readonly (readonly [string, string])[] = [
  ['a@', 'a@'],
  ['a.b@c.d.e@', 'a.b@c.d.e@'],
  ['a', 'a'],
  ['1', '1'],
  ['1 ', '1 '],
  ['12 ', '12 '],
  ['123-', '123-'],
  ['123 ', '123 '],
  ['01 ', '01 '],
  ['1234 ', '1234 '],
  ['4111 ', '4111 '],
  ['+1', '+1'],
  ['+1 ', '+1 '],
  ['+12345678 ', '+12345678 '],
  ['tel +1234567 ', 'tel +1234567 '],
  ['001 ', '001 '],
  ['(0', '(0'],
  ['1.1.', '1.1.'],
  ['1.1.1.1 ', '1.1.1.1 '],
  ['sk-', 'sk-'],
  ['sk-a1', 'sk-a1'],
  ['ghp_', 'ghp_'],
  ['AKIA', 'AKIA'],
  ['AIza-', 'AIza-'],
  ['SG.', 'SG.'],
  ['::', '::'],
  ['a::', 'a::'],
  ['1:', '1:'],
  ['a:b:', 'a:b:'],
  ['eyJ', 'eyJ'],
  ['.eyJ', '.eyJ'],
  ['eyJhbGciOiJIUzI1NiJ9.', 'eyJhbGciOiJIUzI1NiJ9.'],
  ['PEM begin', '-----BEGIN PRIVATE KEY-----'],
  ['PEM begin, base64', '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n'],
  ['DE89 ', 'DE89 '],
  ['GB33BUKB', 'GB33BUKB'],
  ['call 12 ', 'call 12 '],
  ['call 12345678 ', 'call 12345678 '],
  ['full-width 1', '\uff11'],
  ['no-break space', '\u00a0'],
];

const text300 = prose(300);
const text8k = prose(8192);
const text100k = prose(100_000);
const twoByte = `${text8k.slice(0, 4000)}\u201c${text8k.slice(4001)}`;
let scope = 0;

const rows: Row[] = [];
const add = (name: string, call: () => unknown, characters?: number): void => {
  const us = cpuUs(call);
  rows.push({ name, us, megabytesPerSecond: characters === undefined ? null : characters / us });
};

add('detect, clean 300 B', () => detector.detect(text300), 300);
add('detect, clean 8 KB', () => detector.detect(text8k), 8192);
add('detect, clean 8 KB with a curly quote', () => detector.detect(twoByte), 8192);
add('detect, clean 100 KB', () => detector.detect(text100k), 100_000);
add('detect, 300 B with three findings', () => detector.detect(withThree), withThree.length);
add('open a vault, replace one value', () =>
  openVault(`s${scope++}`).replace('bob@example.com', 'email', rule('email')),
);
add('open a vault, replace three values', () => {
  const vault = openVault(`s${scope++}`);
  for (const [value, entity] of VALUES) vault.replace(value, entity, rule(entity));
});
add('replace a value again', () => fullVault.replace('bob@example.com', 'email', rule('email')));
add('restore 900 B, empty vault', () => emptyVault.restore(answer, 'text'), answer.length);
add('restore 900 B, three entries', () => fullVault.restore(answer, 'text'), answer.length);
const stream = (vault: typeof fullVault) => () => {
  const restorer = vault.restorer('text');
  for (const chunk of chunks) restorer.push(chunk);
  return restorer.flush();
};
add(`stream ${chunks.length} chunks of 20, empty vault`, stream(emptyVault));
add(`stream ${chunks.length} chunks of 20, three entries`, stream(fullVault));
for (const [name, unit] of HOSTILE) {
  const text = unit.repeat(Math.ceil(100_000 / unit.length));
  add(`hostile 100 KB: ${name}`, () => detector.detect(text), text.length);
}

if (process.argv.includes('--json')) console.log(JSON.stringify(rows));
else
  for (const { name, us, megabytesPerSecond } of rows) {
    const speed = megabytesPerSecond === null ? '' : `${megabytesPerSecond.toFixed(0).padStart(7)} MB/s`;
    console.log(`${name.padEnd(44)} ${us.toFixed(2).padStart(10)} µs ${speed}`);
  }

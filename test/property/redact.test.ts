import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createDetector } from '../../gateway/redact/detect.ts';
import type { Entity, Finding, RedactRule, Vault } from '../../gateway/redact/redactor.ts';
import { createVaults } from '../../gateway/redact/vault.ts';

const detector = createDetector();
const openVault = createVaults(Buffer.alloc(32, 4));

const EVERYWHERE: RedactRule['restore'] = ['text', 'links', 'tool_arguments'];
const rule = (entity: Entity, restore = EVERYWHERE): RedactRule => ({
  entity,
  action: 'tokenize',
  in: ['request'],
  restore,
});

const VALUES: Readonly<Record<Entity, readonly string[]>> = {
  email: ['bob@example.com', 'josé.garcía@exämple.de', "o'brien+x@mail.example.co.uk"],
  phone: ['+1 415 555 2671', '(415) 555-2671', '+41\u00a0(0)44\u202f668 18 00'],
  card: ['4111 1111 1111 1111', '378282246310005', '5555-5555-5555-4444'],
  iban: ['DE89370400440532013000', 'GB82 WEST 1234 5698 7654 32'],
  us_ssn: ['460-89-9847', '123\u201145\u20116789'],
  ip: ['192.0.2.44', '2001:db8::8a2e:370:7334'],
  api_key: [`sk-${'a1B2c3D4'.repeat(5)}`, `ghp_${'a1B2c3D4e5F6'.repeat(3)}`, `hf_${'q1W2e3R4'.repeat(5)}`],
};
const ENTITIES = Object.keys(VALUES) as Entity[];

const value = fc.constantFrom(...Object.values(VALUES).flat());
/** What could upset replacing: quotes, replacement patterns, surrogates, brackets, pieces of placeholders and links. */
const filler = fc.oneof(
  fc.constantFrom(
    ...['"', "'", '\\', '\\_', '_', '$&', '$1', '$$', '[', ']', '](', ')', '<', '>', '<a href="', 'https://', 'www.'],
    ...[
      'EMAIL',
      'EMAIL_',
      'E',
      'PHON',
      'KEY_',
      'IP_A',
      'SSN\\',
      'IBAN_0',
      '\n',
      '\n\n',
      ' ',
      '\u00a0',
      '😀',
      '\ud83d',
      '\ude00',
    ],
    ...['👩‍👩‍👧', '{', '}', '&lt;', '%', '\u0000', '、', '邮箱'],
  ),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.string({ maxLength: 8 }),
);
const text = fc
  .array(
    fc.oneof(
      filler,
      value,
      value.map((one) => ` ${one} `),
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(''));

const mask = (given: string, findings: readonly Finding[], vault: Vault, restore = EVERYWHERE): string => {
  let out = '';
  let at = 0;
  for (const { entity, start, end } of findings) {
    out += given.slice(at, start) + vault.replace(given.slice(start, end), entity, rule(entity, restore));
    at = end;
  }
  return out + given.slice(at);
};

/** Opens the vault of a caller who wrote `given`. */
const vaultFor = (given: string, scope = 's'): Vault => openVault(scope, (id) => given.includes(id));

const splitAt = (given: string, cuts: readonly number[]): string[] => {
  const places = [...new Set(cuts.map((cut) => cut % (given.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((start, index) => given.slice(start, places[index] ?? given.length));
};

const stream = (vault: Vault, pieces: readonly string[], place: 'text' | 'tool_arguments' = 'text'): string => {
  const restorer = vault.restorer(place);
  return pieces.map((piece) => restorer.push(piece)).join('') + restorer.flush();
};

const cuts = fc.array(fc.nat(1000), { maxLength: 30 });

describe('restoring', () => {
  test('what was masked comes back unchanged, whole and in any pieces', () => {
    let restoredValues = 0;
    fc.assert(
      fc.property(text, cuts, (given, places) => {
        const vault = vaultFor(given);
        const masked = mask(given, detector.detect(given), vault);
        restoredValues += vault.size;
        expect(vault.restore(masked, 'text')).toBe(given);
        expect(stream(vault, splitAt(masked, places))).toBe(given);
        expect(stream(vault, splitAt(masked, places), 'tool_arguments')).toBe(given);
      }),
      { numRuns: 20_000 },
    );
    expect(restoredValues).toBeGreaterThan(20_000); // the texts did hold values
  });

  test('where links are left alone, pieces give what the whole gives', () => {
    let leftAlone = 0;
    fc.assert(
      fc.property(text, cuts, (given, places) => {
        const vault = vaultFor(given);
        const masked = mask(given, detector.detect(given), vault, ['text']);
        const whole = vault.restore(masked, 'text');
        expect(stream(vault, splitAt(masked, places))).toBe(whole);
        if (whole !== given) leftAlone++;
      }),
      { numRuns: 5000 },
    );
    expect(leftAlone).toBeGreaterThan(50);
  });

  test('no placeholder restores that was typed, guessed or made for another scope', () => {
    const id = fc.stringMatching(/^[0-9A-HJKMNP-TV-Z]{13}$/);
    const names = fc.constantFrom('EMAIL', 'PHONE', 'CARD', 'IBAN', 'SSN', 'IP', 'KEY');
    const guessed = fc.tuple(names, id).map(([name, one]) => `${name}_${one}`);
    const entity = fc.constantFrom(...ENTITIES);
    fc.assert(
      fc.property(entity, value, value, guessed, cuts, (kind, own, other, guess, places) => {
        const foreign = openVault('another').replace(own, kind, rule(kind));
        const typed = openVault('s').replace(own, kind, rule(kind)); // what this value would get
        const caller = `${typed} ${own} ${foreign}`;
        const vault = vaultFor(caller);
        const made = vault.replace(own, kind, rule(kind));
        vault.replace(other, kind, rule(kind));
        const injected = `${typed}${foreign} ${guess} ${made.slice(0, -1)}- ${typed.replace('_', '\\_')}`;
        expect(vault.restore(injected, 'text')).toBe(injected);
        expect(stream(vault, splitAt(injected, places))).toBe(injected);
        expect(vault.restore(made, 'text')).toBe(own);
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('detecting', () => {
  const anything = fc.oneof(
    text,
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.stringMatching(/^[0-9 .:@+()_\-a-f]{0,80}$/),
  );

  test('never throws, and gives findings in range, in order and apart', () => {
    fc.assert(
      fc.property(anything, (given) => {
        let last = 0;
        for (const { start, end } of detector.detect(given)) {
          expect(start).toBeGreaterThanOrEqual(last);
          expect(end).toBeGreaterThan(start);
          expect(end).toBeLessThanOrEqual(given.length);
          last = end;
        }
      }),
      { numRuns: 20_000 },
    );
  });

  test('a value on its own is found, whatever stands around it', () => {
    const around = fc.string({
      unit: fc.constantFrom(' ', '\n', '"', '(', ')', 'é', '😀', ',', ';', '、'),
      maxLength: 6,
    });
    const entity = fc
      .constantFrom(...ENTITIES)
      .chain((kind) => fc.tuple(fc.constant(kind), fc.constantFrom(...VALUES[kind])));
    fc.assert(
      fc.property(around, entity, around, (before, [kind, one], after) => {
        const given = `${before} ${one} ${after}`;
        const start = before.length + 1;
        expect(detector.detect(given)).toEqual([
          expect.objectContaining({ entity: kind, start, end: start + one.length }),
        ]);
      }),
      { numRuns: 5000 },
    );
  });

  test('a masked text holds no value that was taken out, and no placeholder is taken for one', () => {
    // Values stand between spaces: one that is glued to another may be hidden by it, and come to light when that is gone.
    const spaced = fc
      .array(
        fc.oneof(
          filler,
          value.map((one) => ` ${one} `),
        ),
        { maxLength: 14 },
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(spaced, (given) => {
        const vault = vaultFor(given);
        const findings = detector.detect(given);
        const taken = new Set(findings.map(({ start, end }) => given.slice(start, end)));
        const masked = mask(given, findings, vault);
        for (const { start, end } of detector.detect(masked)) expect(taken).not.toContain(masked.slice(start, end));
      }),
      { numRuns: 10_000 },
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...ENTITIES),
        fc.string(),
        fc.constantFrom(' ', '.', '"', '', '-'),
        (kind, one, edge) => {
          const placeholder = openVault('s').replace(one, kind, rule(kind));
          expect(detector.detect(`${edge}${placeholder}${edge}`)).toEqual([]);
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

import { describe, expect, test } from '@jest/globals';
import validator from 'validator';
import { matchIban } from '../../../gateway/redact/patterns/iban.ts';

/** A number of `country` with `length` characters and right check digits, its account all digits. */
const ibanOf = (country: string, length: number): string => {
  const account = '1234567890'.repeat(4).slice(0, length - 4);
  const digits = [...`${account}${country}00`].map((one) => Number.parseInt(one, 36)).join('');
  return `${country}${String(98n - (BigInt(digits) % 97n)).padStart(2, '0')}${account}`;
};

describe('IBAN lengths', () => {
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];
  const countries = letters.flatMap((first) => letters.map((second) => first + second));

  test('are one a country, and no number that validator takes is missed', () => {
    let accepted = 0;
    for (const country of countries) {
      const lengths = Array.from({ length: 20 }, (_, index) => index + 15);
      const ours = lengths.filter((length) => matchIban(ibanOf(country, length), 2) !== undefined);
      const theirs = lengths.filter((length) => validator.isIBAN(ibanOf(country, length)));
      expect(ours.length).toBeLessThanOrEqual(1);
      expect(ours).toEqual(expect.arrayContaining(theirs));
      accepted += theirs.length;
    }
    expect(accepted).toBeGreaterThan(40); // the other countries have letters in the account
  });
});

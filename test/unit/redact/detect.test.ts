import { describe, expect, test } from '@jest/globals';
import { createDetector } from '../../../gateway/redact/detect.ts';

const detector = createDetector();

/** What is found, as `entity:value`. */
const found = (text: string): string[] =>
  detector.detect(text).map(({ entity, start, end }) => `${entity}:${text.slice(start, end)}`);

describe('e-mail addresses', () => {
  test.each([
    ['write to bob@example.com.', 'bob@example.com'],
    ['<bob.o_neil+news@mail.example.co.uk>', 'bob.o_neil+news@mail.example.co.uk'],
    ['[mail](mailto:bob@example.com)', 'bob@example.com'],
    ['**bob@example.com**', 'bob@example.com'],
    ["'bob@example.com'", 'bob@example.com'],
    ["Pat O'Brien, o'brien@example.ie", "o'brien@example.ie"],
    ['josé@exämple.de wrote', 'josé@exämple.de'],
    ['?email=bob%40example.com&x=1', 'bob%40example.com'],
    ['邮箱是bob@example.com谢谢', 'bob@example.com'],
    ['bob@xn--e1afmkfd.xn--p1ai', 'bob@xn--e1afmkfd.xn--p1ai'],
    ['x@example.com.2 is not the end', 'x@example.com'],
    ['full-width bob＠example．com', 'bob＠example．com'],
  ])('are found in %j', (text, value) => {
    expect(found(text)).toEqual([`email:${value}`]);
  });

  test.each(['@app.route', 'npm i left-pad@1.3.0', 'a @ b', 'me@localhost', '@@@', 'x@.com', 'a@b.c'])(
    'are not seen in %j',
    (text) => expect(found(text)).toEqual([]),
  );
});

describe('telephone numbers', () => {
  test.each([
    ['+1 415 555 2671', '+1 415 555 2671'],
    ['ring +41 (0)44 668 18 00 now', '+41 (0)44 668 18 00'],
    ['+4930901820', '+4930901820'],
    ['tel+41 44 668 18 00', '+41 44 668 18 00'],
    ['+1\u2011415\u2011555\u20112671', '+1\u2011415\u2011555\u20112671'],
    ['+33\u00a01\u202f42\u200968 53 00', '+33\u00a01\u202f42\u200968 53 00'],
    ['(415) 555-2671', '(415) 555-2671'],
    ['415.555.2671x42', '415.555.2671x42'],
    ['0044 20 7946 0958', '0044 20 7946 0958'],
    ['unter 030/1234567', '030/1234567'],
    ['01.42.68.53.00', '01.42.68.53.00'],
    ['Phone: 467 3395', '467 3395'],
    ['call me on 9498777106', '9498777106'],
    ['９０９-５５５-２６７１', '９０９-５５５-２６７１'],
    ['\u202a+1 415 555 2671\u202c', '+1 415 555 2671'],
  ])('are found in %j', (text, value) => {
    expect(found(text)).toEqual([`phone:${value}`]);
  });

  test.each([
    'on 2024-05-12 11:34:35',
    'phone bill of 12.05.2024',
    'order 9498777106',
    'population 123 456 789',
    '10 000 000 people',
    'ISBN 0-306-40615-2',
    '123e4567-e89b-12d3-a456-426614174000',
    'pi is 3.14159265358979',
    '2+15551234567',
    '+999 123 456 78',
    'version 4.18.0-553',
    '1,234,567,890',
  ])('are not seen in %j', (text) => expect(found(text)).toEqual([]));
});

describe('payment cards', () => {
  test.each([
    ['4111 1111 1111 1111', '4111 1111 1111 1111'],
    ['4111-1111-1111-1111', '4111-1111-1111-1111'],
    ['4111\u00a01111\u00a01111\u00a01111', '4111\u00a01111\u00a01111\u00a01111'],
    ['4111\u20131111\u20131111\u20131111', '4111\u20131111\u20131111\u20131111'],
    ['378282246310005 is Amex', '378282246310005'],
    ['3782 822463 10005', '3782 822463 10005'],
    ['{"pan":"5555555555554444"}', '5555555555554444'],
    ['4111 1111 1111 1111 12/27 123', '4111 1111 1111 1111'],
    ['card 4222222222222', '4222222222222'],
    ['4111\u200b1111\u200b1111\u200b1111', '4111\u200b1111\u200b1111\u200b1111'],
  ])('are found in %j', (text, value) => {
    expect(found(text)).toEqual([`card:${value}`]);
  });

  test.each([
    ['a wrong check digit', '4111111111111112'],
    ['no issuer', '9999999999999995'],
    ['a timestamp in ms', '1700000000003'],
    ['thirteen digits without a word', 'item 4222222222222'],
    ['part of a longer number', '41111111111111111111111'],
    ['a decimal fraction', '0.4111111111111111'],
    ['hex', 'a4111111111111111f'],
  ])('are not seen in %s', (_, text) => expect(found(text)).toEqual([]));
});

describe('IBANs', () => {
  test.each([
    ['DE89370400440532013000', 'DE89370400440532013000'],
    ['gb82 west 1234 5698 7654 32', 'gb82 west 1234 5698 7654 32'],
    ['DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000.', 'DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000'],
    ['FR14-2004-1010-0505-0001-3M02-606', 'FR14-2004-1010-0505-0001-3M02-606'],
  ])('are found in %j', (text, value) => expect(found(text)).toEqual([`iban:${value}`]));

  test.each(['DE88370400440532013000', 'XX89370400440532013000', 'DE8937040044053201300', 'xDE89370400440532013000'])(
    'are not seen in %j',
    (text) => expect(found(text).filter((one) => one.startsWith('iban'))).toEqual([]),
  );
});

describe('US social security numbers', () => {
  test.each([
    ['460-89-9847', '460-89-9847'],
    ['460\u201189\u20119847', '460\u201189\u20119847'],
    ['SSN 460 89 9847', '460 89 9847'],
    ['social security number: 460899847', '460899847'],
  ])('are found in %j', (text, value) => expect(found(text)).toEqual([`us_ssn:${value}`]));

  test.each([
    '000-12-3456',
    '666-12-3456',
    '912-34-5678',
    '460-00-9847',
    '460-89-0000',
    '460899847',
    '1460-89-9847',
    '460-89-98471',
  ])('are not seen in %j', (text) => expect(found(text)).toEqual([]));
});

describe('IP addresses', () => {
  test.each([
    ['from 192.0.2.44.', '192.0.2.44'],
    ['http://10.1.2.3:8080/x', '10.1.2.3'],
    ['192.0.2.0/24', '192.0.2.0'],
    ['2001:db8::8a2e:370:7334', '2001:db8::8a2e:370:7334'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::ffff:192.0.2.44', '::ffff:192.0.2.44'],
    ['at 6e40:4041:c617:e898:c11:40d2:c669:2eb4.', '6e40:4041:c617:e898:c11:40d2:c669:2eb4'],
  ])('are found in %j', (text, value) => expect(found(text)).toEqual([`ip:${value}`]));

  test.each([
    '127.0.0.1',
    '0.0.0.0',
    '255.255.255.0',
    '::1',
    '1.2.3.4.5',
    '256.1.1.1',
    'v1.2.3.4',
    'version 1.2.3.4',
    'rfc7231#section-3.1.1.1',
    '11:34:35',
    'std::vector',
    'a::b',
    'aa:bb:cc:dd:ee:ff',
    'x: 1',
  ])('are not seen in %j', (text) => expect(found(text)).toEqual([]));
});

describe('overlaps', () => {
  test('belong to the entity that ranks first, and nothing found is left standing', () => {
    const key = `sk-${'a1B2c3D4'.repeat(4)}`;
    expect(found(`https://${key}@example.com/`)).toEqual([`api_key:${key}@example.com`]);
  });

  test('a card that looks like a telephone number after a telephone word is a card', () => {
    expect(found('phone order, 4111 1111 1111 1111')).toEqual(['card:4111 1111 1111 1111']);
  });

  test('findings come in the order of the text', () => {
    expect(found('192.0.2.44 bob@example.com 460-89-9847 +1 415 555 2671')).toEqual([
      'ip:192.0.2.44',
      'email:bob@example.com',
      'us_ssn:460-89-9847',
      'phone:+1 415 555 2671',
    ]);
  });
});

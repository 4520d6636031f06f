import { describe, expect, test } from '@jest/globals';
import { formatCsv } from '../../../gateway/cli/csv.ts';
import { parseDuration } from '../../../gateway/cli/duration.ts';
import { parseDimensions } from '../../../gateway/store/dimensions.ts';
import { parseRange, rangeBefore } from '../../../gateway/store/report-range.ts';

const NOW = Date.UTC(2026, 10, 24, 0, 30);

describe('the parts of a report', () => {
  test('CSV is RFC 4180 and no cell is a formula', () => {
    const texts = ['plain', 'a,b', 'say "hi"', 'two\r\nlines', '=1+1', '+1', '-1', '@sum', '\tx', ' =1', ''];
    expect(formatCsv([texts, [1, -2, null]])).toBe(
      'plain,"a,b","say ""hi""","two\r\nlines",\'=1+1,\'+1,\'-1,\'@sum,\'\tx, =1,\r\n1,-2,\r\n',
    );
  });

  test('seven days are today and the six before', () => {
    expect(parseRange('7d', undefined, NOW)).toEqual({ firstDay: '2026-11-18', lastDay: '2026-11-24' });
    expect(parseRange('1d', undefined, NOW)).toEqual({ firstDay: '2026-11-24', lastDay: '2026-11-24' });
    expect(parseRange('30d', '2026-03-01', NOW)).toEqual({ firstDay: '2026-01-31', lastDay: '2026-03-01' });
  });

  test('a range of days has both ends, and the one before it is as long', () => {
    const range = parseRange('2026-11-01', '2026-11-10', NOW);
    expect(range).toEqual({ firstDay: '2026-11-01', lastDay: '2026-11-10' });
    expect(rangeBefore(range)).toEqual({ firstDay: '2026-10-22', lastDay: '2026-10-31' });
  });

  test('days that do not exist and ranges that run backwards are errors', () => {
    for (const since of ['2026-02-30', '2026-13-01', '0d', '7', 'yesterday', '', '2026-11-25']) {
      expect(() => parseRange(since, undefined, NOW)).toThrow(RangeError);
    }
    expect(() => parseRange('7d', '7d', NOW)).toThrow(RangeError);
  });

  test('an unknown dimension is answered with the list of those that exist', () => {
    expect(() => parseDimensions('org,colour')).toThrow(
      'unknown dimension "colour"; there are org, team, user, key, use_case, workflow, model, upstream, endpoint, day and tag:<name>',
    );
    for (const text of ['tag:', 'org,org']) expect(() => parseDimensions(text)).toThrow(RangeError);
  });

  test('teams and users come with their organisation', () => {
    expect(parseDimensions('team,model')).toEqual(['org', 'team', 'model']);
    expect(parseDimensions('model, user')).toEqual(['model', 'org', 'user']);
    expect(parseDimensions('user,org')).toEqual(['user', 'org']);
    expect(parseDimensions('')).toEqual([]);
  });

  test('durations have a unit', () => {
    expect(['0s', '90s', '5m', '2h', '30d'].map(parseDuration)).toEqual([0, 90_000, 300_000, 7_200_000, 2_592_000_000]);
    for (const text of ['', '5', 'h', '-1h', '1.5h', '1w', '9999999d']) expect(parseDuration(text)).toBeUndefined();
  });
});

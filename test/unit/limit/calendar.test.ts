import { describe, expect, test } from '@jest/globals';
import { createCalendar } from '../../../gateway/limit/calendar.ts';

const at = (iso: string): number => Date.parse(iso);

describe('the calendar of budgets', () => {
  test('a month is the month of the named zone, not of UTC', () => {
    const period = createCalendar()('month', 'America/New_York', at('2026-11-01T03:00:00Z'));
    expect(period).toEqual({ key: '2026-10', startMs: at('2026-10-01T04:00:00Z'), endMs: at('2026-11-01T04:00:00Z') });
  });

  test('a day with a clock change has 23 or 25 hours', () => {
    const calendar = createCalendar();
    const spring = calendar('day', 'Europe/Berlin', at('2026-03-29T12:00:00Z'));
    const autumn = calendar('day', 'Europe/Berlin', at('2026-10-25T12:00:00Z'));
    expect([spring.key, (spring.endMs - spring.startMs) / 3_600_000]).toEqual(['2026-03-29', 23]);
    expect([autumn.key, (autumn.endMs - autumn.startMs) / 3_600_000]).toEqual(['2026-10-25', 25]);
  });

  test('where a clock change removes midnight the day starts after the gap', () => {
    // Chile: 2026-09-05 24:00 (UTC-4) becomes 2026-09-06 01:00 (UTC-3).
    const day = createCalendar()('day', 'America/Santiago', at('2026-09-06T15:00:00Z'));
    expect(day).toEqual({ key: '2026-09-06', startMs: at('2026-09-06T04:00:00Z'), endMs: at('2026-09-07T03:00:00Z') });
  });

  test('periods follow each other without gap or overlap in zones of every kind', () => {
    for (const zone of ['UTC', 'Asia/Kathmandu', 'Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Australia/Lord_Howe']) {
      const calendar = createCalendar();
      let period = calendar('day', zone, at('2026-01-01T12:00:00Z'));
      for (let i = 0; i < 370; i++) {
        const next = calendar('day', zone, period.endMs);
        expect(next.startMs).toBe(period.endMs);
        expect(next.key > period.key).toBe(true);
        expect(calendar('day', zone, next.endMs - 1)).toBe(next);
        period = next;
      }
    }
  });

  test('december is followed by january', () => {
    const december = createCalendar()('month', 'Asia/Tokyo', at('2026-12-31T14:59:59.999Z'));
    expect(december).toMatchObject({ key: '2026-12', endMs: at('2026-12-31T15:00:00Z') });
  });

  test('a zone that does not exist is an error', () => {
    expect(() => createCalendar()('day', 'Mars/Olympus', 0)).toThrow(RangeError);
  });
});

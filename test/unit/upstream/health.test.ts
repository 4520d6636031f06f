import { describe, expect, test } from '@jest/globals';
import { createHealth, DOWN_AFTER, HALF_OPEN_MS } from '../../../gateway/upstream/health.ts';

describe('health', () => {
  test('starts up, with nothing measured', () => {
    expect(createHealth().read(0)).toEqual({ state: 'up', errorRate: 0, p50Ms: 0 });
  });

  test('knows the median time to the first byte and the share of errors', () => {
    const health = createHealth();
    for (const ms of [10, 20, 30, 40, 1000]) health.answered(ms !== 1000, ms, 1);
    expect(health.read(1000)).toEqual({ state: 'degraded', errorRate: 0.2, p50Ms: 30 });
  });

  test('a few errors among few attempts do not degrade', () => {
    const health = createHealth();
    for (let i = 0; i < 4; i++) health.answered(false, 1, 0);
    expect(health.read(1000).state).toBe('up');
  });

  test('attempts older than a minute are forgotten', () => {
    const health = createHealth();
    for (let i = 0; i < 20; i++) health.answered(false, 5, 0);
    expect(health.read(59_000)).toMatchObject({ state: 'degraded', errorRate: 1 });
    expect(health.read(61_000)).toEqual({ state: 'up', errorRate: 0, p50Ms: 0 });
  });

  test('only the last 200 attempts count', () => {
    const health = createHealth();
    for (let i = 0; i < 200; i++) health.answered(false, 5, 0);
    for (let i = 0; i < 200; i++) health.answered(true, 7, 1);
    expect(health.read(1000)).toEqual({ state: 'up', errorRate: 0, p50Ms: 7 });
  });

  test('attempts without an answer in a row are down at once, without waiting for the next refresh', () => {
    const states: string[] = [];
    const health = createHealth((state) => states.push(state));
    health.read(0);
    for (let i = 0; i < DOWN_AFTER; i++) {
      expect(health.read(1).state).toBe('up');
      health.failed(true, 1);
    }
    expect(health.read(1).state).toBe('down');
    expect(states).toEqual(['down']);
  });

  test('an answer between breaks the row, an error answer too', () => {
    const health = createHealth();
    for (let i = 0; i < DOWN_AFTER - 1; i++) health.failed(true, 1);
    health.answered(false, 1, 1);
    health.failed(true, 1);
    expect(health.read(1000).state).not.toBe('down');
  });

  test('answers that break off do not make it down', () => {
    const health = createHealth();
    for (let i = 0; i < 20; i++) {
      health.answered(true, 1, 1);
      health.failed(false, 1);
    }
    expect(health.read(1000)).toMatchObject({ state: 'degraded', errorRate: 0.5 });
  });

  test('after a pause it is degraded, so that it is tried; a failure starts the pause again, an answer ends it', () => {
    const health = createHealth();
    for (let i = 0; i < DOWN_AFTER; i++) health.failed(true, 0);
    expect(health.read(HALF_OPEN_MS - 1).state).toBe('down');
    expect(health.read(HALF_OPEN_MS + 1000).state).toBe('degraded');
    health.failed(true, HALF_OPEN_MS + 1000);
    expect(health.read(2 * HALF_OPEN_MS).state).toBe('down');
    health.answered(true, 3, 2 * HALF_OPEN_MS);
    expect(health.read(2 * HALF_OPEN_MS).state).toBe('degraded');
    expect(health.read(90_000).state).toBe('up');
  });
});

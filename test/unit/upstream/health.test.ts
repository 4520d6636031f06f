import { describe, expect, test } from '@jest/globals';
import { MAX_OPEN_MS, OPEN_MS } from '../../../gateway/upstream/circuit.ts';
import { createHealth, DOWN_AFTER, type Health, OPEN_ATTEMPTS } from '../../../gateway/upstream/health.ts';

/** An attempt that is sent if it may be, and ends. */
const attempt = (health: Health, now: number, status: number | null): 'pass' | 'probe' | 'stop' => {
  const entry = health.enter(now);
  if (entry === 'stop') return entry;
  if (status === null) health.failed(true, now, entry === 'probe');
  else health.answered(status, 5, now, entry === 'probe');
  return entry;
};
const opened = (onState?: (state: string) => void): Health => {
  const health = createHealth(onState);
  for (let i = 0; i < DOWN_AFTER; i++) attempt(health, 0, null);
  return health;
};

describe('health', () => {
  test('starts up, with nothing measured', () => {
    expect(createHealth().read(0)).toEqual({ state: 'up', errorRate: 0, p50Ms: 0 });
  });

  test('knows the median time to the first byte and the share of errors, limits among them', () => {
    const health = createHealth();
    for (const ms of [10, 20, 30, 40, 1000]) health.answered(ms === 1000 ? 429 : 200, ms, 1, false);
    expect(health.read(1000)).toEqual({ state: 'degraded', errorRate: 0.2, p50Ms: 30 });
  });

  test('a few errors among few attempts do not degrade', () => {
    const health = createHealth();
    for (let i = 0; i < 4; i++) health.answered(500, 1, 0, false);
    expect(health.read(1000).state).toBe('up');
  });

  test('attempts older than a minute are forgotten', () => {
    const health = createHealth();
    for (let i = 0; i < 20; i++) health.answered(429, 5, 0, false);
    expect(health.read(59_000)).toMatchObject({ state: 'degraded', errorRate: 1 });
    expect(health.read(61_000)).toEqual({ state: 'up', errorRate: 0, p50Ms: 0 });
  });

  test('only the last 200 attempts count', () => {
    const health = createHealth();
    for (let i = 0; i < 200; i++) health.answered(429, 5, 0, false);
    for (let i = 0; i < 200; i++) health.answered(200, 7, 1, false);
    expect(health.read(1000)).toEqual({ state: 'up', errorRate: 0, p50Ms: 7 });
  });
});

describe('the circuit', () => {
  test('opens at once after attempts in a row without an answer or with a 5xx, and the state is down', () => {
    const states: string[] = [];
    const health = createHealth((state) => states.push(state));
    health.read(0);
    for (let i = 0; i < DOWN_AFTER; i++) {
      expect(health.circuit(1)).toBe('closed');
      attempt(health, 1, i % 2 === 0 ? null : 503);
    }
    expect(health.circuit(1)).toBe('open');
    expect(health.read(1).state).toBe('down');
    expect(states).toEqual(['down']);
    expect(attempt(health, 1, 200)).toBe('stop');
    expect(health.waitMs(1)).toBe(OPEN_MS);
  });

  test('stays closed when an answer breaks the row, a refusal too', () => {
    const health = createHealth();
    for (let i = 0; i < DOWN_AFTER - 1; i++) attempt(health, 1, null);
    attempt(health, 1, 400);
    attempt(health, 1, null);
    expect(health.circuit(1)).toBe('closed');
  });

  test('stays closed under limits, however many: the upstream answers', () => {
    const health = createHealth();
    for (let i = 0; i < 100; i++) attempt(health, 1, 429);
    expect(health.circuit(1)).toBe('closed');
  });

  test('opens when half of many attempts fail, though never in a row', () => {
    const health = createHealth();
    for (let i = 0; i < OPEN_ATTEMPTS - 1; i++) attempt(health, 1, i % 2 === 0 ? 200 : 500);
    expect(health.circuit(1)).toBe('closed');
    attempt(health, 1, 500);
    expect(health.circuit(1)).toBe('open');
  });

  test('stays closed when fewer than half fail', () => {
    const health = createHealth();
    for (let i = 0; i < 200; i++) attempt(health, 1, i % 5 < 2 ? 500 : 200);
    expect(health.circuit(1)).toBe('closed');
  });

  test('opens when the answers begin and always break off', () => {
    const health = createHealth();
    for (let i = 0; i < OPEN_ATTEMPTS; i++) {
      health.answered(200, 1, 1, false);
      health.failed(false, 1, false);
    }
    expect(health.circuit(1)).toBe('open');
  });

  test('lets exactly one probe at a time through after the pause, and reads degraded, so that policies try it', () => {
    const health = opened();
    expect(health.enter(OPEN_MS - 1)).toBe('stop');
    expect(health.read(OPEN_MS + 1).state).toBe('degraded');
    expect(health.enter(OPEN_MS)).toBe('probe');
    for (let i = 0; i < 10; i++) expect(health.enter(OPEN_MS)).toBe('stop');
    expect(health.waitMs(OPEN_MS)).toBeGreaterThan(0);
  });

  test('closes when the probe is answered, and what failed before does not open it again', () => {
    const health = createHealth();
    for (let i = 0; i < 50; i++) attempt(health, 0, i % 2 === 0 ? 200 : 500);
    expect(attempt(health, OPEN_MS, 200)).toBe('probe');
    expect(health.circuit(OPEN_MS)).toBe('closed');
    expect(attempt(health, OPEN_MS, 500)).toBe('pass');
    expect(health.circuit(OPEN_MS)).toBe('closed');
    expect(health.read(OPEN_MS + 61_000).state).toBe('up');
  });

  test('opens for longer after each failed probe, up to a minute, and for the first time again once it has closed', () => {
    const health = opened();
    let now = 0;
    for (const pause of [OPEN_MS, 2 * OPEN_MS, 4 * OPEN_MS, MAX_OPEN_MS, MAX_OPEN_MS]) {
      expect(health.waitMs(now)).toBe(pause);
      now += pause;
      expect(attempt(health, now, 503)).toBe('probe');
    }
    now += MAX_OPEN_MS;
    attempt(health, now, 200);
    for (let i = 0; i < DOWN_AFTER; i++) attempt(health, now, null);
    expect(health.waitMs(now)).toBe(OPEN_MS);
  });

  test('waits for another probe when the caller of one has left', () => {
    const health = opened();
    expect(health.enter(OPEN_MS)).toBe('probe');
    health.release();
    expect(health.circuit(OPEN_MS)).toBe('half_open');
    expect(health.enter(OPEN_MS)).toBe('probe');
  });

  test('is not moved by attempts that were sent before it opened', () => {
    const health = opened();
    for (let i = 0; i < 20; i++) health.failed(true, 5_000, false);
    health.answered(200, 1, 6_000, false);
    expect(health.circuit(6_000)).toBe('open');
    expect(health.waitMs(6_000)).toBe(OPEN_MS - 6_000);
  });
});

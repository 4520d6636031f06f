import { describe, expect, test } from '@jest/globals';
import { createRandom } from '../../../../gateway/evaluate/statistics/random.ts';
import {
  compareSequentially,
  LEAST_UNITS,
  ratioOf,
  type Unit,
} from '../../../../gateway/evaluate/statistics/sequential.ts';

interface Traffic {
  readonly users: number;
  /** Requests that come in all. */
  readonly requests: number;
  /** How likely a request of each arm succeeds. */
  readonly success: readonly [number, number];
  readonly seed: number;
}

/** Requests of users who each stay in one arm and have a bent of their own; looks at every 100th request. */
const peeks = ({ users, requests, success, seed }: Traffic): boolean => {
  const random = createRandom(seed);
  const bent = Array.from({ length: users }, () => (random() - 0.5) * 0.4);
  const arms: Map<number, { sum: number; count: number }>[] = [new Map(), new Map()];
  for (let request = 1; request <= requests; request++) {
    // Some users send many requests, most few.
    const user = Math.floor(random() ** 2 * users);
    const arm = user % 2;
    const units = arms[arm]!;
    const unit = units.get(user) ?? { sum: 0, count: 0 };
    unit.sum += random() < success[arm]! + bent[user]! ? 1 : 0;
    unit.count += 1;
    units.set(user, unit);
    if (request % 100 !== 0) continue;
    const [control, treatment] = arms.map((arm_) => ratioOf([...arm_.values()] as Unit[]));
    const comparison = compareSequentially(control, treatment);
    if (comparison && comparison.pValue < 0.05) return true;
  }
  return false;
};

describe('a sequential comparison', () => {
  test('raises fewer false alarms than it may, though one looks all the time', () => {
    let alarms = 0;
    const trials = 200;
    for (let seed = 0; seed < trials; seed++) {
      if (peeks({ users: 400, requests: 6_000, success: [0.6, 0.6], seed })) alarms++;
    }
    expect(alarms / trials).toBeLessThan(0.05);
  });

  test('finds a real difference', () => {
    let found = 0;
    for (let seed = 0; seed < 20; seed++) {
      if (peeks({ users: 2_000, requests: 20_000, success: [0.6, 0.68], seed })) found++;
    }
    expect(found).toBeGreaterThanOrEqual(18);
  });

  test('has an interval that leaves 0 when its p-value falls below alpha', () => {
    for (const shift of [0, 0.02, 0.05, 0.1, 0.3]) {
      const units = (mean: number): Unit[] =>
        Array.from({ length: 300 }, (_, at) => ({ sum: mean + (at % 2 === 0 ? 0.4 : -0.4), count: 1 }));
      const { low, high, pValue } = compareSequentially(ratioOf(units(0.5)), ratioOf(units(0.5 + shift)))!;
      expect(pValue < 0.05).toBe(low > 0 || high < 0);
    }
  });

  test('waits until there are units, and something that varies', () => {
    const units = (n: number): Unit[] => Array.from({ length: n }, (_, at) => ({ sum: at % 2, count: 1 }));
    expect(compareSequentially(ratioOf(units(LEAST_UNITS - 1)), ratioOf(units(500)))).toBeUndefined();
    const alike: Unit[] = Array.from({ length: 100 }, () => ({ sum: 1, count: 1 }));
    expect(compareSequentially(ratioOf(alike), ratioOf(alike))).toBeUndefined();
    expect(ratioOf([{ sum: 1, count: 1 }])).toBeUndefined();
  });
});

describe('a ratio over users', () => {
  test('is that of all requests', () => {
    expect(
      ratioOf([
        { sum: 3, count: 3 },
        { sum: 0, count: 1 },
      ]),
    ).toMatchObject({ estimate: 0.75, units: 2, count: 4 });
  });

  test('is less certain when few users made all the requests', () => {
    const spread: Unit[] = Array.from({ length: 1_000 }, (_, at) => ({ sum: at % 2, count: 1 }));
    const lumped: Unit[] = Array.from({ length: 10 }, (_, at) => ({ sum: (at % 2) * 100, count: 100 }));
    expect(ratioOf(lumped)!.variance).toBeGreaterThan(50 * ratioOf(spread)!.variance);
  });
});

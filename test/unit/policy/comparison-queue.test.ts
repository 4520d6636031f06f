import { describe, expect, test } from '@jest/globals';
import { createComparisonQueue } from '../../../gateway/policy/comparison-queue.ts';

const turns = async (count = 5): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve));
};

/** A queue whose work takes as long as its item says. */
const openQueue = (cpuShare: number) => {
  let now = 10_000;
  const done: number[] = [];
  let skipped = 0;
  const queue = createComparisonQueue<number>({
    cpuShare,
    clock: () => now,
    run: (ms) => {
      now += ms;
      done.push(ms);
      return 0;
    },
    onSkipped: () => skipped++,
  });
  return { queue, done, skipped: () => skipped, wait: (ms: number) => (now += ms) };
};

describe('the queue of comparisons', () => {
  test('works after the request, one item a turn', async () => {
    const { queue, done } = openQueue(1);
    queue.offer(1, false);
    queue.offer(2, false);
    expect(done).toEqual([]);
    await turns();
    expect(done).toEqual([1, 2]);
  });

  test('takes no more than its share of a second, and goes on in the next', async () => {
    const { queue, done, skipped, wait } = openQueue(0.1);
    for (let n = 0; n < 20; n++) queue.offer(20, false);
    await turns(30);
    expect(done).toHaveLength(5);
    expect(skipped()).toBe(15);
    queue.offer(20, false);
    expect(skipped()).toBe(16);
    wait(1_200);
    queue.offer(20, false);
    await turns();
    expect(done).toHaveLength(6);
  });

  test('never gets more than its share over many seconds of too much work', async () => {
    const { queue, done, wait } = openQueue(0.1);
    for (let step = 0; step < 1_000; step++) {
      queue.offer(5, false);
      await turns(2);
      wait(10);
    }
    const workedMs = done.length * 5;
    const lastedMs = 1_000 * 10 + workedMs;
    expect(workedMs / lastedMs).toBeLessThan(0.12);
    expect(workedMs / lastedMs).toBeGreaterThan(0.06);
  });

  test('does what is urgent in spite of its share', async () => {
    const { queue, done, skipped } = openQueue(0);
    queue.offer(7, false);
    queue.offer(9, true);
    await turns();
    expect(done).toEqual([9]);
    expect(skipped()).toBe(1);
  });

  test('holds few, and none after its end', async () => {
    const { queue, done, skipped } = openQueue(1);
    for (let n = 0; n < 1_000; n++) queue.offer(0, true);
    expect(skipped()).toBe(1_000 - 256);
    queue.close();
    await turns();
    expect(done).toEqual([]);
  });
});

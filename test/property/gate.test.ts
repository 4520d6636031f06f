import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createGate } from '../../gateway/upstream/gate.ts';

describe('a gate', () => {
  test('never lets more than its bound through, and no place is lost, whatever enters and leaves in which order', async () => {
    const step = fc.oneof(
      fc.constant({ enter: true, pick: 0 }),
      fc.record({ enter: fc.constant(false), pick: fc.nat() }),
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 200 }), async (max, steps) => {
        const started: number[] = [];
        const gate = createGate<number>(max, (item) => started.push(item));
        const inside: number[] = [];
        let next = 0;
        for (const { enter, pick } of steps) {
          if (enter) {
            const item = next++;
            expect(gate.enter(item)).toBe(inside.length < 2 * max);
            if (inside.length < 2 * max) inside.push(item);
          } else if (inside.length > 0) {
            // Any of them leaves, started or waiting, some of them twice.
            const [item] = inside.splice(pick % inside.length, 1);
            gate.leave(item!);
            if (pick % 3 === 0) gate.leave(item!);
          }
          await null;
          expect(gate.underWay).toBe(Math.min(max, inside.length));
          expect(gate.waiting).toBe(Math.max(0, inside.length - max));
          expect(gate.isFull).toBe(inside.length === 2 * max);
        }
        // Each that started did so once, and nobody who is still inside and under way was forgotten.
        expect(new Set(started).size).toBe(started.length);
        for (const item of inside) gate.leave(item);
        await null;
        expect([gate.underWay, gate.waiting]).toEqual([0, 0]);
      }),
    );
  });

  test('starts those that wait in the order they came', async () => {
    const started: string[] = [];
    const gate = createGate<string>(1, (item) => started.push(item));
    for (const item of ['a', 'b']) gate.enter(item);
    gate.leave('a');
    await null;
    gate.enter('c');
    gate.leave('b');
    await null;
    expect(started).toEqual(['a', 'b', 'c']);
  });

  test('does not start one that left before its turn came', async () => {
    const started: string[] = [];
    const gate = createGate<string>(1, (item) => started.push(item));
    gate.enter('a');
    gate.enter('b');
    gate.leave('a');
    gate.leave('b');
    await null;
    expect(started).toEqual(['a']);
    expect([gate.underWay, gate.waiting]).toEqual([0, 0]);
  });
});

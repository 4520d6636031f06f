import { open as openFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { findDecision } from '../../../gateway/audit/find.ts';
import { findDecisionByTime } from '../../../gateway/audit/find-by-time.ts';
import { auditLayout, listSegments, segmentPath } from '../../../gateway/audit/layout.ts';
import { newIds, timeOfId } from '../../../gateway/stages/ids.ts';
import { intentOf, outcomeOf, withHome } from '../../support/audit.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('a decision that is looked for by the time in its id', () => {
  test('is found in whichever segment it lies, with an outcome that came segments later', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 2_000 });
      const ids: string[] = [];
      for (let n = 0; n < 12; n++) {
        const { decisionId: id } = newIds();
        ids.push(id);
        await log.append(intentOf(id));
        // The outcome of the one before: its intent's segment may be full by then.
        if (n > 0) await log.append(outcomeOf(ids[n - 1] as string));
        await pause(3);
      }
      expect((await listSegments(auditLayout(home))).length).toBeGreaterThan(4);
      for (const id of ids.slice(0, -1)) {
        const found = await findDecisionByTime(home, id, timeOfId(id) as number);
        expect(found).toEqual(await findDecision(home, id));
        expect(found?.outcome?.id).toBe(id);
      }
      const last = ids.at(-1) as string;
      expect(await findDecisionByTime(home, last, timeOfId(last) as number)).toMatchObject({
        intent: { id: last },
        outcome: undefined,
      });
    }));

  test('is not looked for in segments that were full before it: damage there is not met', () =>
    withHome(async (home, open) => {
      const log = await open({ segmentBytes: 2_000 });
      for (let n = 0; n < 8; n++) await log.append(intentOf(newIds().decisionId));
      await pause(3);
      const { decisionId: id } = newIds();
      await log.append(outcomeOf(id, { decision: {} }));
      const file = await openFile(segmentPath(auditLayout(home), 1), 'r+');
      await file.write(Buffer.from('damaged'), 0, 7, 500);
      await file.close();
      expect((await findDecisionByTime(home, id, timeOfId(id) as number))?.outcome?.id).toBe(id);
    }));

  test('that is nowhere is undefined, in an empty log too', () =>
    withHome(async (home, open) => {
      const { decisionId: id } = newIds();
      expect(await findDecisionByTime(home, id, Date.now())).toBeUndefined();
      const log = await open();
      await log.append(intentOf('dec_other'));
      for (const timeMs of [0, Date.now(), 2 ** 50]) expect(await findDecisionByTime(home, id, timeMs)).toBeUndefined();
    }));
});

describe('the time in an id', () => {
  test.each([0, 1, 1_795_000_000_123, 2 ** 48 - 1])('is that of its making: %d', (ms) => {
    const { decisionId, requestId } = newIds(ms);
    expect([timeOfId(decisionId), timeOfId(requestId)]).toEqual([ms, ms]);
  });

  test.each(['', 'dec_', 'dec_1', `dec_${'u'.repeat(26)}`, `key_${'0'.repeat(26)}`, `dec_${'0'.repeat(27)}`])(
    'is not there in %p',
    (text) => {
      expect(timeOfId(text)).toBeUndefined();
    },
  );
});

import { describe, expect, test } from '@jest/globals';
import type { CallResult, Journal } from '../../../gateway/evaluate/journal.ts';
import { planJudgements } from '../../../gateway/evaluate/judgements.ts';
import { answerCall } from '../../../gateway/evaluate/plan.ts';
import { runSuite } from '../../../gateway/evaluate/run-suite.ts';
import type { Suite } from '../../../gateway/types.gen.ts';

const suite: Suite = {
  name: 's',
  task: 'open',
  dataset: { items: [] },
  prompt: { user: '{{q}}' },
  models: ['m'],
  graders: [{ kind: 'judge', model: 'j', rubric: 'right' }],
};
const tasks = ['1', '2'].map((id) => ({ id, fields: { q: id } }));
const answer = (call: string): CallResult => ({
  ...{ call, model: 'm', text: 'yes', error: null, ms: 1, costMicroUsd: 10 },
  ...{ inputTokens: 1, outputTokens: 1, decisionId: null },
});

describe('the budget of a suite', () => {
  test('has no room for what a judge whose reply a crash took may have cost', async () => {
    const call = answerCall('1', 'm', 0);
    const results = new Map([[call, answer(call)]]);
    const [judgement] = planJudgements(suite, tasks, results);
    const lost = new Set([judgement?.planned.call as string]);
    const asked: string[] = [];
    const journal: Journal = {
      ...{ began: '2026-11-20T10:00:00.000Z', spentMicroUsd: 10, results, lost },
      asked: async (name) => void asked.push(name),
      withdrawn: async () => {},
      result: async (result) => void results.set(result.call, result),
      close: async () => {},
    };
    const run = (budgetMicroUsd: number) =>
      runSuite(suite, tasks, {
        ...{ journal, concurrency: 1, budgetMicroUsd, boundOf: () => 100, repeatLost: false },
        ask: async () => answer(''),
        signal: new AbortController().signal,
      });
    // 10 are spent, 100 may have been, and the next call may cost 100.
    expect(await run(209)).toEqual({ reason: 'budget' });
    expect(asked).toEqual([]);
    await run(210);
    expect(asked).toContain(answerCall('2', 'm', 0));
  });
});

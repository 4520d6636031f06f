import type { Suite } from '../types.gen.ts';
import { isJudging } from './graders/named-graders.ts';
import { planJudgements, remindersFor } from './judgements.ts';
import { planAnswers } from './plan.ts';
import { type RunEnd, type RunOptions, runCalls } from './run-calls.ts';
import type { Task } from './task.ts';

/** Tasks that are answered before their answers are judged: a run cut short has judged most of what it paid for. */
const TASKS_AT_A_TIME = 32;

/**
 * Has every answer of a suite and every judgement of them that the journal lacks. Rejects as runCalls. What calls whose
 * result is lost may have cost counts as spent.
 */
export const runSuite = async (suite: Suite, tasks: readonly Task[], options: RunOptions): Promise<RunEnd> => {
  const { journal, boundOf } = options;
  let lostMicroUsd = 0;
  for (const { call, request } of planAnswers(suite, tasks))
    if (journal.lost.has(call)) lostMicroUsd += boundOf(request);
  const judgements = planJudgements(suite, tasks, journal.results);
  const asked = [...judgements.map(({ planned }) => planned), ...remindersFor(judgements, journal.results)];
  for (const { call, request } of asked) if (journal.lost.has(call)) lostMicroUsd += boundOf(request);
  const bounded = { ...options, budgetMicroUsd: options.budgetMicroUsd - lostMicroUsd };
  const isJudged = suite.graders.some(isJudging);
  const size = isJudged ? TASKS_AT_A_TIME : tasks.length;
  let end: RunEnd = { reason: 'done' };
  for (let at = 0; at < tasks.length && end.reason === 'done'; at += size) {
    const some = tasks.slice(at, at + size);
    end = await runCalls(planAnswers(suite, some), bounded);
    // What is left may be enough to judge what there is.
    if (!isJudged || (end.reason !== 'done' && end.reason !== 'budget')) continue;
    const judgements = planJudgements(suite, some, journal.results);
    const judging = judgements.map(({ planned }) => planned);
    let judged = await runCalls(judging, bounded);
    if (judged.reason === 'done') judged = await runCalls(remindersFor(judgements, journal.results), bounded);
    if (judged.reason !== 'done') end = judged;
  }
  return end;
};

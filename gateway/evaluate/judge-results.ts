import type { EvalJudge, Suite } from '../types.gen.ts';
import { isJudging, type JudgingGrader, type NamedGrader, namedGraders } from './graders/named-graders.ts';
import { markOf, preferenceOf } from './grading.ts';
import type { Journal } from './journal.ts';
import { humanMark, type Judgement, judgePromptText, RECORDED, type Results, repliesOf } from './judgements.ts';
import { agreementOf } from './statistics/agreement.ts';
import type { Task } from './task.ts';

/** What each judging grader did, cost, and how far it can be believed. */
export const judgesOf = (
  suite: Suite,
  tasks: readonly Task[],
  { results, lost }: Pick<Journal, 'results' | 'lost'>,
  judgements: readonly Judgement[],
): EvalJudge[] =>
  namedGraders(suite).flatMap((named) => {
    const { name, grader } = named;
    if (!isJudging(grader)) return [];
    const own = judgements.filter((judgement) => judgement.grader === name);
    return [judgeOf({ name, grader }, own, new Map(tasks.map((task) => [task.id, task])), results, lost)];
  });

const judgeOf = (
  { name, grader }: NamedGrader & { grader: JudgingGrader },
  judgements: readonly Judgement[],
  tasks: ReadonlyMap<string, Task>,
  results: Results,
  lost: ReadonlySet<string>,
): EvalJudge => {
  const replies = judgements.map((judgement) => repliesOf(judgement, results));
  const calls = replies.flat();
  const agreement = agreementOf(
    grader.human === undefined ? [] : labelledPairs(judgements, tasks, grader.human, results),
  );
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  return {
    grader: name,
    kind: grader.kind,
    model: grader.model,
    prompt: judgePromptText(grader),
    calls: calls.length,
    reminders: replies.filter(({ length }) => length > 1).length,
    unmarked: judgements.filter((one) => repliesOf(one, results).length > 0 && verdictOf(one, results) === null).length,
    failed: calls.filter(({ error }) => error !== null).length,
    lost: judgements.filter(({ planned }) => lost.has(planned.call) && !results.has(planned.call)).length,
    total_usd: calls.reduce((sum, { costMicroUsd }) => sum + costMicroUsd, 0) / 1e6,
    order_decided: grader.kind === 'pairwise' ? orderDecided(judgements, results) : null,
    agreement: agreement
      ? {
          marks: agreement.marks,
          exact: agreement.exact,
          kappa: finite(agreement.kappa),
          spearman: finite(agreement.correlation),
        }
      : null,
  };
};

/** A judge's mark or preference; null without one. */
const verdictOf = (judgement: Judgement, results: Results): number | null =>
  judgement.kind === 'judge' ? markOf(judgement, results).mark : preferenceOf(judgement, results).value;

/** Share of pairs whose two orders gave opposite answers, or one a winner and the other a tie. */
const orderDecided = (judgements: readonly Judgement[], results: Results): number | null => {
  let pairs = 0;
  let moved = 0;
  for (const both of pairsOf(judgements)) {
    const [one, other] = both.map((judgement) => verdictOf(judgement, results));
    if (both.length < 2 || one === null || other === null) continue;
    pairs++;
    if (one !== other) moved++;
  }
  return pairs === 0 ? null : moved / pairs;
};

const pairsOf = (judgements: readonly Judgement[]): Judgement[][] => [
  ...Map.groupBy(judgements, ({ taskId, model, repeat }) => JSON.stringify([taskId, model, repeat])).values(),
];

/** The judge's and the person's word on the same answer. Of a pair: 1, 0.5 or 0, where both orders agree or not. */
const labelledPairs = (
  judgements: readonly Judgement[],
  tasks: ReadonlyMap<string, Task>,
  human: string,
  results: Results,
): [number, number][] =>
  pairsOf(judgements).flatMap((about): [number, number][] => {
    const [{ taskId, model, kind, repeat }] = about as [Judgement];
    const task = tasks.get(taskId);
    if (!task || repeat > 0) return [];
    const label = humanMark(task, human, model === RECORDED ? undefined : model);
    const [one, other] = about.map((judgement) => verdictOf(judgement, results));
    if (label === undefined || one === null || one === undefined) return [];
    if (kind === 'judge') return [[one, label]];
    if (other === null || other === undefined) return [];
    return [[one === other ? one : 0.5, label]];
  });

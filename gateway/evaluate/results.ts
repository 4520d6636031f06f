import type { EvalComparison, EvalItem, EvalModel, EvalResults, Suite } from '../types.gen.ts';
import { isJudging, namedGraders } from './graders/named-graders.ts';
import { createGrading, type GradedAnswer } from './grading.ts';
import type { Journal } from './journal.ts';
import { judgesOf } from './judge-results.ts';
import { type Judgement, planJudgements, repliesOf } from './judgements.ts';
import { promptText } from './plan.ts';
import type { RunEnd } from './run-calls.ts';
import { bootstrapMean, quantileOf } from './statistics/bootstrap.ts';
import { comparePaired } from './statistics/paired.ts';
import { paretoFront } from './statistics/pareto.ts';
import type { Task } from './task.ts';

/** What results are made from. */
export interface Evaluated {
  readonly suite: Suite;
  readonly suiteSha256: string;
  /** All tasks of the suite. */
  readonly suiteTasks: number;
  /** Those that the run was to ask. */
  readonly tasks: readonly Task[];
  readonly journal: Pick<Journal, 'results' | 'lost' | 'began' | 'spentMicroUsd'>;
  readonly budgetMicroUsd: number;
  readonly end: RunEnd;
  /** From the dataset, such as requests that could not be drawn. */
  readonly notes?: readonly string[];
}

/** A model that has a score for less of the tasks than this share is not compared: it would leave too few in common. */
const LEAST_SHARE = 0.5;

/** The results of a run, whole or not. Throws GraderError for a suite whose graders are none. */
export const resultsOf = (evaluated: Evaluated): EvalResults => {
  const { suite, suiteSha256, suiteTasks, tasks, journal, budgetMicroUsd, end } = evaluated;
  const judgements = planJudgements(suite, tasks, journal.results);
  const gradeTask = createGrading({ suite, results: journal.results, lost: journal.lost, judgements });
  const graded = tasks.map((task) => ({ task, answers: gradeTask(task) }));
  const byModel = suite.models.map((model) => sheetOf(model, graded));
  const compared = byModel.filter(({ scores }) => scores.size > 0 && scores.size >= tasks.length * LEAST_SHARE);
  const common = new Set(
    tasks.map(({ id }) => id).filter((id) => compared.length > 0 && compared.every(({ scores }) => scores.has(id))),
  );
  const models = byModel.map((sheet) =>
    modelOf(suite, sheet, compared.includes(sheet) ? common : undefined, tasks.length),
  );
  const front = paretoFront(
    models.flatMap(({ model, is_compared, quality, usd_per_1000_tasks: cost }) =>
      is_compared && quality !== null && cost !== null ? [{ model, quality: quality.estimate, cost }] : [],
    ),
  ).map(({ model }) => model);
  for (const model of models) model.is_on_front = front.includes(model.model);
  const isWhole =
    end.reason === 'done' &&
    tasks.length === suiteTasks &&
    graded.every(({ answers }) => answers.every(({ result }) => result !== undefined));
  return {
    version: 1,
    suite: suite.name,
    title: suite.title ?? suite.name,
    task: suite.task,
    suite_sha256: suiteSha256,
    began: journal.began,
    end: { reason: end.reason, message: end.reason === 'failed' ? end.message : null },
    is_complete: isWhole,
    tasks: suiteTasks,
    tasks_asked: tasks.length,
    repeats: suite.repeats ?? 1,
    compared_tasks: common.size,
    budget_usd: budgetMicroUsd / 1e6,
    spent_usd: journal.spentMicroUsd / 1e6,
    notes: [
      ...(evaluated.notes ?? []),
      ...notesOf(models, common.size, evaluated),
      ...judgeFailures(judgements, journal.results),
    ],
    graders: namedGraders(suite).map(({ name, grader }) => ({ name, kind: grader.kind, weight: grader.weight ?? 1 })),
    models,
    comparisons: comparisonsOf(byModel),
    judges: judgesOf(suite, tasks, journal, judgements),
    items: graded.map(({ task, answers }) => itemOf(suite, task, answers)),
  };
};

/** The answers of one model, and its score for each task that has one. */
interface Sheet {
  readonly model: string;
  readonly answers: ReadonlyMap<string, readonly GradedAnswer[]>;
  /** By task, the scores of its repeats. */
  readonly scores: ReadonlyMap<string, readonly number[]>;
}

const sheetOf = (model: string, graded: readonly { task: Task; answers: readonly GradedAnswer[] }[]): Sheet => {
  const answers = new Map(graded.map(({ task, answers: all }) => [task.id, all.filter((one) => one.model === model)]));
  const scores = new Map(
    [...answers].flatMap(([id, all]): [string, number[]][] => {
      const given = all.flatMap(({ score }) => (score === null ? [] : [score]));
      return given.length > 0 ? [[id, given]] : [];
    }),
  );
  return { model, answers, scores };
};

const modelOf = (
  suite: Suite,
  { model, answers, scores }: Sheet,
  common: Set<string> | undefined,
  tasks: number,
): EvalModel => {
  const all = [...answers.values()].flat();
  const came = all.filter(({ result }) => result?.error === null);
  const counted = [...scores].filter(([id]) => common === undefined || common.has(id));
  // Without a score, what is known of the answers all the same.
  const shown =
    counted.length === 0
      ? came
      : counted.flatMap(([id]) => answers.get(id) ?? []).filter(({ result }) => result?.error === null);
  const costs = shown.map(({ result }) => result?.costMicroUsd ?? 0);
  const times = came.map(({ result }) => result?.ms ?? 0).sort((left, right) => left - right);
  const failures: Record<string, number> = {};
  for (const { result } of all) if (result?.error) failures[result.error] = (failures[result.error] ?? 0) + 1;
  const sum = (of: (result: NonNullable<GradedAnswer['result']>) => number): number =>
    all.reduce((total, { result }) => total + (result ? of(result) : 0), 0);
  return {
    model,
    tasks,
    graded: scores.size,
    is_compared: common !== undefined,
    is_on_front: false,
    quality: counted.length > 0 ? bootstrapMean(counted.map(([, given]) => given)) : null,
    graders: Object.fromEntries(
      namedGraders(suite).map(({ name }) => [
        name,
        meanOf(shown.flatMap(({ grades }) => grades.find(({ grader }) => grader === name)?.score ?? [])),
      ]),
    ),
    usd_per_1000_tasks: costs.length > 0 ? (meanOf(costs) as number) / 1e3 : null,
    total_usd: sum(({ costMicroUsd }) => costMicroUsd) / 1e6,
    p50_ms: times.length > 0 ? quantileOf(times, 0.5) : null,
    p95_ms: times.length > 0 ? quantileOf(times, 0.95) : null,
    input_tokens: sum(({ inputTokens }) => inputTokens),
    output_tokens: sum(({ outputTokens }) => outputTokens),
    answers: came.length,
    failures,
    lost: all.filter(({ isLost }) => isLost).length,
    unmarked: came.filter(({ score }) => score === null).length,
  };
};

const meanOf = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

const comparisonsOf = ([baseline, ...others]: readonly Sheet[]): EvalComparison[] => {
  if (!baseline) return [];
  return others.flatMap(({ model, scores }) => {
    const differences = [...baseline.scores].flatMap(([id, given]) => {
      const theirs = scores.get(id);
      return theirs ? [(meanOf(theirs) as number) - (meanOf(given) as number)] : [];
    });
    if (differences.length === 0) return [];
    const { tasks, estimate, low, high, pValue, wins, ties, losses } = comparePaired(differences);
    return [
      { model, baseline: baseline.model, tasks, difference: estimate, low, high, p_value: pValue, wins, ties, losses },
    ];
  });
};

const notesOf = (
  models: readonly EvalModel[],
  common: number,
  { end, tasks, suiteTasks, suite }: Evaluated,
): string[] => {
  const notes: string[] = [];
  if (end.reason === 'budget') notes.push('The run ended at its budget: --budget-usd or budget_usd lets it go on.');
  if (end.reason === 'stopped') notes.push('The run was stopped: run it again to go on.');
  if (end.reason === 'failed') notes.push(`The run could not go on: ${end.message}`);
  if (tasks.length < suiteTasks) notes.push(`Only ${tasks.length} of ${suiteTasks} tasks were asked (--limit).`);
  const compared = models.filter(({ is_compared }) => is_compared);
  if (compared.some(({ graded }) => graded > common)) {
    notes.push(
      `Not every model has a score for each task: quality and cost are of the ${common} tasks that all compared models have in common.`,
    );
  }
  for (const { model, is_compared, graded } of models) {
    if (!is_compared)
      notes.push(`${model} has a score for ${graded} of ${tasks.length} tasks, too few to be compared.`);
  }
  const lost = models.reduce((sum, model) => sum + model.lost, 0);
  if (lost > 0) {
    notes.push(
      `The results of ${lost} ${lost === 1 ? 'call was' : 'calls were'} lost in a crash; they may have been paid: --repeat-lost asks again.`,
    );
  }
  const failed = models.reduce((sum, { failures }) => sum + Object.values(failures).reduce((a, b) => a + b, 0), 0);
  if (failed > 0) {
    notes.push(
      `${failed} ${failed === 1 ? 'call' : 'calls'} failed and ${failed === 1 ? 'counts' : 'count'} as missing, not as wrong: --repeat-failed asks again.`,
    );
  }
  if (suite.graders.every((grader) => isJudging(grader))) {
    notes.push('Every score is a model’s judgement: see how far the judge agrees with people before relying on it.');
  }
  return notes;
};

/** Why judges failed, where they did. */
const judgeFailures = (judgements: readonly Judgement[], results: Journal['results']): string[] => {
  const failures = new Map<string, number>();
  for (const judgement of judgements) {
    for (const { error } of repliesOf(judgement, results)) {
      const why = `${judgement.grader}: ${error}`;
      if (error !== null) failures.set(why, (failures.get(why) ?? 0) + 1);
    }
  }
  return [...failures].map(([why, count]) => `${count} ${count === 1 ? 'call' : 'calls'} of a judge failed. ${why}`);
};

const itemOf = (suite: Suite, task: Task, answers: readonly GradedAnswer[]): EvalItem => ({
  id: task.id,
  prompt: promptText(suite, task),
  answers: answers.map(({ model, repeat, result, isLost, score, grades }) => ({
    model,
    repeat,
    state: result ? (result.error === null ? 'answered' : 'failed') : isLost ? 'lost' : 'unasked',
    text: result?.text ?? '',
    error: result?.error ?? null,
    score,
    grades: [...grades],
    usd: (result?.costMicroUsd ?? 0) / 1e6,
    ms: Math.round((result?.ms ?? 0) * 10) / 10,
    input_tokens: result?.inputTokens ?? 0,
    output_tokens: result?.outputTokens ?? 0,
    decision_id: result?.decisionId ?? null,
  })),
});

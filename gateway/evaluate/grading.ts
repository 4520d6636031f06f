import type { Suite } from '../types.gen.ts';
import { createGrader } from './graders/create-grader.ts';
import type { Grader } from './graders/grader.ts';
import { isPlain, namedGraders } from './graders/named-graders.ts';
import type { CallResult } from './journal.ts';
import { parseMark, parsePreference } from './judge-prompt.ts';
import { type Judgement, type Results, repliesOf } from './judgements.ts';
import { answerCall } from './plan.ts';
import type { Task } from './task.ts';

/** What one grader says of one answer; without a score it could not say. */
export interface GivenGrade {
  readonly grader: string;
  /** 0 to 1; null when it is missing, which is not 0. */
  readonly score: number | null;
  readonly note: string;
}

/** One answer and what became of it. */
export interface GradedAnswer {
  readonly model: string;
  readonly repeat: number;
  /** Undefined when the model was not asked yet, or the result is lost. */
  readonly result: CallResult | undefined;
  readonly isLost: boolean;
  readonly grades: readonly GivenGrade[];
  /** Weighted mean of the grades, 0 to 1; null when there is no answer or a grade with weight is missing. */
  readonly score: number | null;
}

/** Grades the answers of one task. */
export type GradeTask = (task: Task) => GradedAnswer[];

/** What a grading is made from. */
export interface Grading {
  readonly suite: Suite;
  readonly results: Results;
  readonly lost: ReadonlySet<string>;
  readonly judgements: readonly Judgement[];
}

/** A grading by a suite's graders. Throws GraderError as createGrader. */
export const createGrading = ({ suite, results, lost, judgements }: Grading): GradeTask => {
  const { models, repeats = 1 } = suite;
  const graders = namedGraders(suite).map(({ name, grader }) => ({
    name,
    grader,
    plain: isPlain(grader) ? createGrader(grader) : undefined,
  }));
  const byAnswer = Map.groupBy(judgements, ({ grader, taskId, model, repeat }) => keyOf(grader, taskId, model, repeat));
  return (task) =>
    models.flatMap((model) =>
      Array.from({ length: repeats }, (_, repeat): GradedAnswer => {
        const call = answerCall(task.id, model, repeat);
        const result = results.get(call);
        const isLost = result === undefined && lost.has(call);
        if (result?.error !== null) return { model, repeat, result, isLost, grades: [], score: null };
        const grades = graders.map(({ name, grader, plain }): GivenGrade => {
          if (plain) return { grader: name, ...gradeOf(plain, task, result) };
          if (grader.kind === 'pairwise' && model === models[0]) {
            return { grader: name, score: 0.5, note: 'what the others are compared with' };
          }
          const about = byAnswer.get(keyOf(name, task.id, model, repeat)) ?? [];
          return { grader: name, ...(grader.kind === 'judge' ? markGrade(about, results) : pairGrade(about, results)) };
        });
        const weights = graders.map(({ grader }) => grader.weight ?? 1);
        return { model, repeat, result, isLost, grades, score: meanOf(grades, weights) };
      }),
    );
};

const keyOf = (...parts: readonly unknown[]): string => JSON.stringify(parts);

const gradeOf = (grader: Grader, task: Task, { text, ms, costMicroUsd }: CallResult): Omit<GivenGrade, 'grader'> => {
  const { score, note } = grader(task, { text, ms, costMicroUsd });
  return { score, note };
};

const meanOf = (grades: readonly GivenGrade[], weights: readonly number[]): number | null => {
  let sum = 0;
  let total = 0;
  for (const [at, { score }] of grades.entries()) {
    const weight = weights[at] as number;
    if (weight === 0) continue;
    if (score === null) return null;
    sum += score * weight;
    total += weight;
  }
  return total === 0 ? null : sum / total;
};

/** A judge's mark of an answer and why there is none. */
export const markOf = (judgement: Judgement, results: Results): { mark: number | null; note: string } => {
  const replies = repliesOf(judgement, results);
  for (const reply of replies) {
    const verdict = reply.error === null ? parseMark(reply.text, judgement.scale) : undefined;
    if (verdict) return { mark: verdict.value, note: verdict.reason };
  }
  return { mark: null, note: absenceOf(replies) };
};

const absenceOf = (replies: readonly CallResult[]): string => {
  const last = replies.at(-1);
  if (!last) return 'not judged';
  return last.error === null ? 'the judge gave no mark' : `the judge failed: ${last.error}`;
};

const markGrade = ([judgement]: readonly Judgement[], results: Results): Omit<GivenGrade, 'grader'> => {
  if (!judgement) return { score: null, note: 'not judged' };
  const { mark, note } = markOf(judgement, results);
  if (mark === null) return { score: null, note };
  return { score: (mark - 1) / (judgement.scale - 1), note: `${mark} of ${judgement.scale}: ${note}` };
};

/** How a pair was judged in one order: 1 when the judged answer is better, 0 when the other is; null without a verdict. */
export const preferenceOf = (judgement: Judgement, results: Results): { value: number | null; note: string } => {
  const replies = repliesOf(judgement, results);
  for (const reply of replies) {
    const verdict = reply.error === null ? parsePreference(reply.text) : undefined;
    if (!verdict) continue;
    const value = verdict.value === 'tie' ? 0.5 : (verdict.value === '1') === judgement.isFirst ? 1 : 0;
    return { value, note: verdict.reason };
  }
  return { value: null, note: absenceOf(replies) };
};

/** Both orders must prefer an answer for it to win. */
const pairGrade = (judgements: readonly Judgement[], results: Results): Omit<GivenGrade, 'grader'> => {
  if (judgements.length < 2) return { score: null, note: 'not judged' };
  const [one, other] = judgements.map((judgement) => preferenceOf(judgement, results)) as [Preference, Preference];
  if (one.value === null || other.value === null) {
    return { score: null, note: one.value === null ? one.note : other.note };
  }
  if (one.value !== other.value) return { score: 0.5, note: 'the two orders disagree' };
  const word = one.value === 1 ? 'better' : one.value === 0 ? 'worse' : 'tie';
  return { score: one.value, note: `${word}: ${one.note}` };
};

type Preference = ReturnType<typeof preferenceOf>;

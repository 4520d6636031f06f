import { createHash } from 'node:crypto';
import type { Suite } from '../types.gen.ts';
import type { ChatRequest } from './ask.ts';
import { isJudging, type JudgingGrader, namedGraders } from './graders/named-graders.ts';
import type { CallResult } from './journal.ts';
import {
  JUDGE_PROMPT_VERSION,
  type JudgeMaterial,
  judgeRequest,
  parseMark,
  parsePreference,
  reminderOf,
} from './judge-prompt.ts';
import { answerCall, promptText } from './plan.ts';
import type { PlannedCall } from './run-calls.ts';
import { fieldOf, fill, type Task } from './task.ts';

/** In place of a model, where a judge marks the answer that the task came with. */
export const RECORDED = '(recorded)';

/** One question to a judge. */
export interface Judgement {
  /** Name of the grader. */
  readonly grader: string;
  readonly kind: JudgingGrader['kind'];
  readonly taskId: string;
  /** Whose answer is judged; RECORDED for the one that the task came with. */
  readonly model: string;
  readonly repeat: number;
  /** Of a pair: whether the judged answer is shown first. */
  readonly isFirst: boolean;
  readonly scale: number;
  readonly planned: PlannedCall;
}

/** The results so far, by call. */
export type Results = ReadonlyMap<string, CallResult>;

export const DEFAULT_SCALE = 5;

/** Every question to a judge about the answers that these tasks have by now. */
export const planJudgements = (suite: Suite, tasks: readonly Task[], results: Results): Judgement[] => {
  const judging = namedGraders(suite).flatMap(({ name, grader }) => (isJudging(grader) ? [{ name, grader }] : []));
  return judging.flatMap(({ name, grader }) =>
    tasks.flatMap((task) =>
      grader.kind === 'judge'
        ? marksOf(suite, name, grader, task, results)
        : pairsOf(suite, name, grader, task, results),
    ),
  );
};

const textOf = (results: Results, task: Task, model: string, repeat: number): string | undefined => {
  const result = results.get(answerCall(task.id, model, repeat));
  return result?.error === null ? result.text : undefined;
};

const marksOf = (suite: Suite, name: string, grader: JudgingGrader, task: Task, results: Results): Judgement[] => {
  const { models, repeats = 1 } = suite;
  const judged: Judgement[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const model of models) {
      const text = textOf(results, task, model, repeat);
      if (text !== undefined) judged.push(judgementOf({ suite, name, grader, task, model, repeat }, [text]));
    }
  }
  const recorded = grader.human === undefined ? undefined : recordedAnswer(task, grader.human);
  if (recorded !== undefined) {
    judged.push(judgementOf({ suite, name, grader, task, model: RECORDED, repeat: 0 }, [recorded]));
  }
  return judged;
};

/** The answer a task came with, when a person marked it. */
const recordedAnswer = (task: Task, human: string): string | undefined => {
  const { answer } = task.fields;
  return typeof answer === 'string' && humanMark(task, human) !== undefined ? answer : undefined;
};

/** A person's mark: of a model's answer where the field has one by model, else of the recorded answer. */
export const humanMark = (task: Task, human: string, model?: string): number | undefined => {
  const value = fieldOf(task, human);
  const marks = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  const mark =
    model === undefined ? (marks ? undefined : value) : marks && Object.hasOwn(marks, model) ? marks[model] : undefined;
  if (typeof mark === 'number') return mark;
  return typeof mark === 'string' && mark.trim() !== '' && Number.isFinite(Number(mark)) ? Number(mark) : undefined;
};

const pairsOf = (suite: Suite, name: string, grader: JudgingGrader, task: Task, results: Results): Judgement[] => {
  const { models, repeats = 1 } = suite;
  const [baseline, ...others] = models;
  const judged: Judgement[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const base = textOf(results, task, baseline as string, repeat);
    if (base === undefined) continue;
    for (const model of others) {
      const text = textOf(results, task, model, repeat);
      if (text === undefined) continue;
      const about = { suite, name, grader, task, model, repeat };
      judged.push(judgementOf(about, [text, base]), judgementOf({ ...about, isFirst: false }, [base, text]));
    }
  }
  return judged;
};

interface About {
  readonly suite: Suite;
  readonly name: string;
  readonly grader: JudgingGrader;
  readonly task: Task;
  readonly model: string;
  readonly repeat: number;
  readonly isFirst?: boolean;
}

const judgementOf = (about: About, answers: JudgeMaterial['answers']): Judgement => {
  const { suite, name, grader, task, model, repeat, isFirst = true } = about;
  const scale = grader.scale ?? DEFAULT_SCALE;
  const rubric = fill(grader.rubric, task);
  const material: JudgeMaterial = { rubric, task: promptText(suite, task), answers, scale };
  // By what is judged: after a change of the rubric, the judge or an answer another call, and else the same one.
  const key = digest([JUDGE_PROMPT_VERSION, grader.model, material]);
  const call = JSON.stringify([grader.kind, name, task.id, model, repeat, isFirst, key]);
  return {
    grader: name,
    kind: grader.kind,
    taskId: task.id,
    model,
    repeat,
    isFirst,
    scale,
    planned: { call, request: judgeRequest(grader.model, material, boundaryOf(call, material)) },
  };
};

const digest = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32);

/** Follows from the answers themselves, so that none of them can hold it. */
const boundaryOf = (call: string, { answers, task, rubric }: JudgeMaterial): string => {
  for (let round = 0; ; round++) {
    const boundary = digest(['boundary', call, round]).slice(0, 16);
    if (![...answers, task, rubric].some((text) => text.includes(boundary))) return boundary;
  }
};

/** The second question, where the first was answered without a verdict. */
export const remindersFor = (judgements: readonly Judgement[], results: Results): PlannedCall[] =>
  judgements.flatMap(({ planned, kind, scale }) => {
    const result = results.get(planned.call);
    if (result?.error !== null || isVerdict(kind, result.text, scale)) return [];
    return [
      {
        call: reminderCall(planned.call),
        request: reminderOf(planned.request, result.text, kind === 'pairwise', scale),
      },
    ];
  });

const isVerdict = (kind: Judgement['kind'], text: string, scale: number): boolean =>
  (kind === 'judge' ? parseMark(text, scale) : parsePreference(text)) !== undefined;

const reminderCall = (call: string): string => JSON.stringify(['again', call]);

/** What a judgement's calls came to: the replies there are, the one that holds a verdict last. */
export const repliesOf = ({ planned }: Judgement, results: Results): CallResult[] =>
  [planned.call, reminderCall(planned.call)].flatMap((call) => results.get(call) ?? []);

/** How often a judge is asked about a suite's answers when all goes well. */
export const judgementCount = (suite: Suite, tasks: readonly Task[]): number => {
  const { models, repeats = 1 } = suite;
  let count = 0;
  for (const { grader } of namedGraders(suite)) {
    if (!isJudging(grader)) continue;
    const { human } = grader;
    count +=
      grader.kind === 'pairwise'
        ? tasks.length * (models.length - 1) * 2 * repeats
        : tasks.length * models.length * repeats +
          (human === undefined ? 0 : tasks.filter((task) => recordedAnswer(task, human) !== undefined).length);
  }
  return count;
};

/** The prompt of a judging grader as it is sent, with names in place of what it is about. */
export const judgePromptText = (grader: JudgingGrader): string => {
  const answers: JudgeMaterial['answers'] = grader.kind === 'judge' ? ['{{answer}}'] : ['{{answer 1}}', '{{answer 2}}'];
  const material = { rubric: grader.rubric, task: '{{task}}', answers, scale: grader.scale ?? DEFAULT_SCALE };
  const { messages }: ChatRequest = judgeRequest(grader.model, material, '{{boundary}}');
  return (messages as readonly { role: string; content: string }[])
    .map(({ role, content }) => `${role}:\n${content}`)
    .join('\n\n');
};

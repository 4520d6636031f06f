import type { Task } from '../task.ts';

/** What a model answered to a task. */
export interface Answer {
  readonly text: string;
  readonly ms: number;
  readonly costMicroUsd: number;
}

/** A grader's word on one answer. */
export interface Grade {
  /** 0 to 1. */
  readonly score: number;
  /** In a few words, what it saw. */
  readonly note: string;
}

/** Judges an answer from the task alone. Throws MissingFieldError when the task lacks what it needs. */
export type Grader = (task: Task, answer: Answer) => Grade;

export const right = (note: string): Grade => ({ score: 1, note });
export const wrong = (note: string): Grade => ({ score: 0, note });

/** As much of a text as fits into a note. */
export const excerpt = (text: string): string => {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length <= 80 ? line : `${line.slice(0, 77)}…`;
};

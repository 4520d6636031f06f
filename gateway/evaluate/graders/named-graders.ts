import type { Suite, SuiteGrader } from '../../types.gen.ts';
import { JUDGING_KINDS, type PlainKind } from './create-grader.ts';

/** A grader of a suite with the name of its column. */
export interface NamedGrader {
  /** Unique in the suite. */
  readonly name: string;
  readonly grader: SuiteGrader;
}

/** A grader that asks a model, with all that it needs. */
export type JudgingGrader = SuiteGrader & { kind: (typeof JUDGING_KINDS)[number]; model: string; rubric: string };

/** The graders of a suite, named: by the suite, else by their kind, numbered where one is taken. */
export const namedGraders = ({ graders }: Pick<Suite, 'graders'>): NamedGrader[] => {
  const taken = new Set<string>();
  return graders.map((grader) => {
    const wanted = grader.name ?? grader.kind;
    let name = wanted;
    for (let n = 2; taken.has(name); n++) name = `${wanted} ${n}`;
    taken.add(name);
    return { name, grader };
  });
};

/** Whether a grader asks a model. Without `model` and `rubric` it cannot: see checkSuite. */
export const isJudging = (grader: SuiteGrader): grader is JudgingGrader =>
  (JUDGING_KINDS as readonly string[]).includes(grader.kind);

/** Whether a grader judges from task and answer alone. */
export const isPlain = (grader: SuiteGrader): grader is SuiteGrader & { kind: PlainKind } => !isJudging(grader);

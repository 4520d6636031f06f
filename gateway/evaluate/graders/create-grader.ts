import { Ajv } from 'ajv';
import type { SuiteGrader } from '../../types.gen.ts';
import { fill, type Task } from '../task.ts';
import { chosenLetter } from './choice.ts';
import { type Answer, excerpt, type Grade, type Grader, right, wrong } from './grader.ts';
import { jsonOf } from './json-text.ts';
import { normalized } from './normalized.ts';
import { isWithin, lastNumber } from './number.ts';

/** Kinds of grader that ask a model themselves. */
export const JUDGING_KINDS = ['judge', 'pairwise'] as const satisfies readonly SuiteGrader['kind'][];

/** A kind of grader that judges from task and answer alone. */
export type PlainKind = Exclude<SuiteGrader['kind'], (typeof JUDGING_KINDS)[number]>;

/** A suite's grader that cannot be: said before any model is asked. */
export class GraderError extends Error {
  override readonly name = 'GraderError';
}

/**
 * A grader of a suite, for every kind but those that ask a model. Throws GraderError when the suite leaves out what its
 * kind needs, or gives a pattern or schema that is none.
 */
export const createGrader = (grader: SuiteGrader & { kind: PlainKind }): Grader => GRADERS[grader.kind](grader);

const need = <K extends keyof SuiteGrader>(grader: SuiteGrader, field: K): NonNullable<SuiteGrader[K]> => {
  const value = grader[field];
  if (value === undefined) throw new GraderError(`a grader of kind ${grader.kind} needs "${field}"`);
  return value as NonNullable<SuiteGrader[K]>;
};

/** The answers that count as right for a task. */
const expectations = (grader: SuiteGrader): ((task: Task) => string[]) => {
  const expected = need(grader, 'expected');
  const templates = typeof expected === 'string' ? [expected] : expected;
  return (task) => templates.map((template) => fill(template, task));
};

/** Right when one expectation holds. */
const anyOf = (
  grader: SuiteGrader,
  holds: (answer: string, expected: string) => boolean,
  seen: (answer: string) => string,
): Grader => {
  const expected = expectations(grader);
  return (task, { text }) => {
    const wanted = expected(task);
    const found = seen(text);
    return wanted.some((one) => holds(text, one))
      ? right(found)
      : wrong(`${found}, not ${wanted.map(excerpt).join(' or ')}`);
  };
};

const GRADERS: Readonly<Record<PlainKind, (grader: SuiteGrader) => Grader>> = {
  exact: (grader) => anyOf(grader, (text, expected) => text.trim() === expected.trim(), excerpt),
  normalized: (grader) => anyOf(grader, (text, expected) => normalized(text) === normalized(expected), excerpt),
  contains: (grader) =>
    anyOf(grader, (text, expected) => ` ${normalized(text)} `.includes(` ${normalized(expected)} `), excerpt),
  choice: (grader) =>
    anyOf(
      grader,
      (text, expected) => chosenLetter(text) === (chosenLetter(expected) ?? expected.trim().toUpperCase()),
      (text) => chosenLetter(text) ?? 'no letter',
    ),
  number: (grader) => {
    const { tolerance = 0 } = grader;
    return anyOf(
      grader,
      (text, expected) => {
        const [actual, wanted] = [lastNumber(text), lastNumber(expected)];
        return actual !== undefined && wanted !== undefined && isWithin(actual, wanted, tolerance);
      },
      (text) => String(lastNumber(text) ?? 'no number'),
    );
  },
  regex: (grader) => {
    const pattern = need(grader, 'pattern');
    compile(pattern.replaceAll(/\{\{.*?\}\}/g, 'x'));
    return (task, { text }) =>
      compile(fill(pattern, task, RegExp.escape)).test(text) ? right('matches') : wrong('does not match');
  },
  json_schema: (grader) => {
    const schema = need(grader, 'schema');
    const isValid = compileSchema(schema);
    return (_, { text }) => {
      let value: unknown;
      try {
        value = jsonOf(text);
      } catch {
        return wrong('no JSON');
      }
      if (isValid(value)) return right('valid');
      const [error] = isValid.errors ?? [];
      return wrong(`${error?.instancePath ?? ''} ${error?.message ?? 'is not valid'}`.trim());
    };
  },
  latency: (grader) => between(grader, 'best_ms', 'worst_ms', ({ ms }) => ms, 'ms'),
  cost: (grader) => between(grader, 'best_usd', 'worst_usd', ({ costMicroUsd }) => costMicroUsd / 1e6, 'USD'),
};

const compile = (pattern: string): RegExp => {
  try {
    return new RegExp(pattern, 'u');
  } catch (error) {
    throw new GraderError(`${String((error as { message?: unknown }).message)}`, { cause: error });
  }
};

const compileSchema = (schema: object) => {
  try {
    return new Ajv({ strict: false }).compile(schema);
  } catch (error) {
    throw new GraderError(`the schema of a json_schema grader: ${String((error as { message?: unknown }).message)}`, {
      cause: error,
    });
  }
};

/** 1 up to the best figure, 0 from the worst on, in proportion between them. */
const between = (
  grader: SuiteGrader,
  best: 'best_ms' | 'best_usd',
  worst: 'worst_ms' | 'worst_usd',
  figure: (answer: Answer) => number,
  unit: string,
): Grader => {
  const [from, to] = [grader[best] ?? 0, need(grader, worst)];
  if (from >= to) throw new GraderError(`${best} of a grader of kind ${grader.kind} must be below ${worst}`);
  return (_, answer): Grade => {
    const value = figure(answer);
    const score = Math.min(1, Math.max(0, (to - value) / (to - from)));
    return { score, note: `${Number(value.toPrecision(3))} ${unit}` };
  };
};

import type { PriceTable } from '../prices.ts';
import type { Model, Suite } from '../types.gen.ts';
import { createGrader } from './graders/create-grader.ts';
import { isPlain, namedGraders } from './graders/named-graders.ts';
import { messagesOf } from './plan.ts';
import { fill, type Task } from './task.ts';

/** What is wrong with a suite, found before any model is asked. */
export interface SuiteProblems {
  /** It cannot be run. */
  readonly errors: readonly string[];
  /** It can, but its results may mislead. */
  readonly warnings: readonly string[];
}

/** The serving policy's catalogue and prices. */
export interface Catalogue {
  readonly models: Readonly<Record<string, Model>>;
  readonly prices: PriceTable;
}

/** So many tasks are named for one fault. */
const MOST_NAMED = 3;

/**
 * Looks at all of a suite that can fail without asking a model: models and their prices, graders, the fields that each
 * task lacks, parts that cannot be priced.
 */
export const checkSuite = (suite: Suite, tasks: readonly Task[], catalogue: Catalogue): SuiteProblems => {
  const errors: string[] = [];
  const warnings: string[] = [];
  for (const model of suite.models) errors.push(...modelErrors(model, 'models', catalogue));
  for (const { name, grader } of namedGraders(suite)) {
    const { kind, model, rubric } = grader;
    const sample: ((task: Task) => void)[] = [];
    if (isPlain(grader)) {
      try {
        const grade = createGrader(grader);
        sample.push((task) => grade(task, { text: '', ms: 0, costMicroUsd: 0 }));
      } catch (error) {
        errors.push(`grader "${name}": ${messageOf(error)}`);
      }
    } else {
      if (model === undefined) errors.push(`grader "${name}": a grader of kind ${kind} needs "model"`);
      else errors.push(...modelErrors(model, `grader "${name}"`, catalogue));
      if (rubric === undefined) errors.push(`grader "${name}": a grader of kind ${kind} needs "rubric"`);
      else sample.push((task) => fill(rubric, task));
      if (model !== undefined && suite.models.includes(model)) {
        warnings.push(`grader "${name}": ${model} judges its own answers: models prefer their own`);
      }
      if (kind === 'pairwise' && suite.models.length < 2) {
        errors.push(`grader "${name}": a comparison needs a second model`);
      }
    }
    for (const look of sample) errors.push(...taskErrors(tasks, look, `grader "${name}"`));
  }
  errors.push(...taskErrors(tasks, (task) => checkMessages(messagesOf(suite, task), task), 'the prompt'));
  const weights = suite.graders.map(({ weight = 1 }) => weight);
  if (weights.every((weight) => weight === 0)) errors.push('graders: none has a weight, so no answer has a score');
  if (tasks.length < 30) warnings.push(`${tasks.length} tasks are few: intervals will be wide`);
  return { errors: [...new Set(errors)], warnings };
};

/** Chat completions are translated to the other two. */
const CHATTING: readonly string[] = ['chat.completions', 'messages', 'responses'];

const modelErrors = (name: string, where: string, { models, prices }: Catalogue): string[] => {
  const model = Object.hasOwn(models, name) ? models[name] : undefined;
  if (model === undefined) return [`${where}: the serving policy has no model "${name}"`];
  const { endpoints = CHATTING } = model;
  if (!endpoints.some((endpoint) => CHATTING.includes(endpoint))) return [`${where}: ${name} is no chat model`];
  if (!prices.has(name)) return [`${where}: ${name} has no price, so its cost could not be bounded`];
  return [];
};

/** Parts other than text cost by rules of each provider's own, so that no bound of a call could be said. */
const checkMessages = (messages: readonly object[], task: Task): void => {
  for (const { content } of messages as readonly { content?: unknown }[]) {
    if (!Array.isArray(content)) continue;
    const other = content.find((part: { type?: unknown }) => part?.type !== 'text') as { type?: unknown } | undefined;
    if (other) throw new Error(`task ${task.id} has a part of type "${String(other.type)}": only text can be asked`);
  }
};

const taskErrors = (tasks: readonly Task[], look: (task: Task) => void, where: string): string[] => {
  const failed: string[] = [];
  for (const task of tasks) {
    try {
      look(task);
    } catch (error) {
      failed.push(messageOf(error));
    }
  }
  const more = failed.length > MOST_NAMED ? `; and ${failed.length - MOST_NAMED} more tasks` : '';
  return failed.length === 0 ? [] : [`${where}: ${failed.slice(0, MOST_NAMED).join('; ')}${more}`];
};

const messageOf = (error: unknown): string => String((error as { message?: unknown } | null)?.message ?? error);

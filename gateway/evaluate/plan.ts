import type { Suite } from '../types.gen.ts';
import type { PlannedCall } from './run-calls.ts';
import { SuiteError } from './suite.ts';
import { fill, type Task } from './task.ts';

/** The call of a task's answer by a model, the n-th time it is put to it. */
export const answerCall = (taskId: string, model: string, repeat: number): string =>
  JSON.stringify(['answer', taskId, model, repeat]);

/** Every answer of a suite that is to be had. Models take turns, so that a run cut short compares them all the same. */
export const planAnswers = (suite: Suite, tasks: readonly Task[]): PlannedCall[] => {
  const { models, repeats = 1, parameters = {} } = suite;
  const planned: PlannedCall[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const task of tasks) {
      const messages = messagesOf(suite, task);
      for (const model of models) {
        planned.push({ call: answerCall(task.id, model, repeat), request: { model, messages, parameters } });
      }
    }
  }
  return planned;
};

/** How a task is asked. Throws SuiteError when it has neither prompt nor messages, MissingFieldError as `fill`. */
export const messagesOf = ({ prompt }: Suite, task: Task): object[] => {
  if (prompt) {
    const system = prompt.system === undefined ? [] : [{ role: 'system', content: fill(prompt.system, task) }];
    return [...system, { role: 'user', content: fill(prompt.user, task) }];
  }
  const { messages } = task.fields;
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new SuiteError(`task ${task.id} has no messages: the suite needs a prompt`);
  }
  return messages as object[];
};

/** A task's messages as one text, for people and judges. */
export const promptText = (suite: Suite, task: Task): string => {
  const messages = messagesOf(suite, task) as readonly { role?: unknown; content?: unknown }[];
  const texts = messages.map(({ role, content }) => ({ role: String(role), text: textOf(content) }));
  const [only] = texts;
  return texts.length === 1 && only ? only.text : texts.map(({ role, text }) => `${role}: ${text}`).join('\n\n');
};

const textOf = (content: unknown): string => {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return JSON.stringify(content ?? '');
  return content
    .map((part: { type?: unknown; text?: unknown }) =>
      typeof part?.text === 'string' ? part.text : `(${String(part?.type)})`,
    )
    .join('\n');
};

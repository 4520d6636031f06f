/** One task of a dataset: its fields fill {{field}} of prompts and graders. */
export interface Task {
  /** Unique in its dataset. */
  readonly id: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A field that a template names and a task lacks. */
export class MissingFieldError extends Error {
  override readonly name = 'MissingFieldError';
}

const FIELD = /\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}/g;

/**
 * A template with {{field}} replaced by the task's fields, dots going into objects; a value that is no text comes as JSON.
 * Throws MissingFieldError, so that no model is asked with a hole in the prompt.
 */
export const fill = (template: string, task: Task, quote: (text: string) => string = asItIs): string =>
  template.replace(FIELD, (_, path: string) => {
    const value = fieldOf(task, path);
    if (value === undefined || value === null) throw new MissingFieldError(`task ${task.id} has no field "${path}"`);
    return quote(typeof value === 'string' ? value : JSON.stringify(value));
  });

const asItIs = (text: string): string => text;

/** The value at a path of a task, undefined when it is not there. */
export const fieldOf = (task: Task, path: string): unknown => {
  if (Object.hasOwn(task.fields, path)) return task.fields[path];
  let value: unknown = task.fields;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
};

import { wrap } from './wrap.ts';

/** Columns of a page for people. */
export const PAGE_COLUMNS = 100;
/** Columns of a label and of the space before it. */
export const LABEL_COLUMNS = 12;

/** A title with the lines below it; nothing when there are none. */
export const section = (title: string, ...parts: readonly (readonly string[])[]): string[] => {
  const lines = parts.flat();
  return lines.length === 0 ? [] : [title, ...lines];
};

/** `  label     value`, the value wrapped under itself. */
export const field = (label: string, value: string): string =>
  wrap(value, PAGE_COLUMNS - LABEL_COLUMNS - 2)
    .map((line, index) => `  ${(index === 0 ? label : '').padEnd(LABEL_COLUMNS - 1)} ${line}`)
    .join('\n');

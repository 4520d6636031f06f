import type { GuardReading } from './guards.ts';
import type { ReplayReport } from './report.ts';
import { type Section, sectionsOf, type Table } from './sections.ts';

/** A report for the comment of a pull request: the summary and the guards, and all else folded away. */
export const replayMarkdown = (report: ReplayReport, guards: readonly GuardReading[]): string =>
  `${sectionsOf(report, guards).map(sectionMarkdown).join('\n\n')}\n`;

const sectionMarkdown = ({ title, notes, table, isSummary }: Section, index: number): string => {
  const body = [
    ...(notes.length > 0 ? [notes.map((note) => `- ${escaped(note)}`).join('\n')] : []),
    ...(table ? [tableMarkdown(table)] : []),
  ];
  if (isSummary) return [`${index === 0 ? '##' : '###'} ${escaped(title)}`, ...body].join('\n\n');
  return ['<details>', `<summary>${html(title)}</summary>`, '', body.join('\n\n'), '', '</details>'].join('\n');
};

const tableMarkdown = ({ head, rows, right }: Table): string => {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => escaped(cell) || ' ').join(' | ')} |`;
  const rule = `|${head.map((_, column) => (right.includes(column) ? ' ---: ' : ' --- ')).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
};

const html = (text: string): string =>
  text.replace(/\p{Cc}/gu, '\ufffd').replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);

/** Names come from callers: none may become a link, an image, a mention or markup. Characters stand as HTML entities. */
const escaped = (text: string): string =>
  html(text).replace(/[\\`*_[\]|!@~$]|(?<!&)#|:(?=\/\/)/g, (char) => `&#${char.charCodeAt(0)};`);

import CliTable from 'cli-table3';
import type { GuardReading } from './guards.ts';
import type { ReplayReport } from './report.ts';
import { type Section, sectionsOf, type Table } from './sections.ts';

/** What a line of a table may take: longer cells go on in the next line. */
const COLUMNS = 100;

/** A report for a terminal of 100 columns. Control characters of names never reach it. */
export const replayText = (report: ReplayReport, guards: readonly GuardReading[]): string =>
  sectionsOf(report, guards).map(sectionText).join('\n\n');

const sectionText = ({ title, notes, table }: Section): string => {
  const lines = [clean(title), ...notes.map((note) => clean(note))];
  if (table) lines.push(tableText(table));
  return lines.join('\n');
};

const tableText = ({ head, rows, right }: Table): string => {
  const cells = [head, ...rows].map((row) => row.map(clean));
  const shown = new CliTable({
    head: cells[0] ?? [],
    colAligns: head.map((_, column) => (right.includes(column) ? ('right' as const) : ('left' as const))),
    colWidths: widthsOf(cells),
    style: { head: [], border: [], compact: true },
    wordWrap: true,
  });
  for (const row of cells.slice(1)) shown.push(row);
  return shown.toString();
};

/** Widths with a space at either side. The widest column is cut until the table fits, and no word is. */
const widthsOf = (cells: readonly (readonly string[])[]): number[] => {
  const widest = (lengthOf: (cell: string) => number): number[] =>
    (cells[0] ?? []).map((_, column) => Math.max(0, ...cells.map((row) => lengthOf(row[column] ?? ''))) + 2);
  const widths = widest(({ length }) => length);
  const least = widest((cell) => Math.max(...cell.split(' ').map(({ length }) => length)));
  for (let over = widths.reduce((sum, width) => sum + width + 1, 1) - COLUMNS; over > 0; over -= 1) {
    const spare = widths.map((width, column) => (width > (least[column] ?? 0) ? width : 0));
    const column = spare.indexOf(Math.max(...spare));
    if (spare[column] === 0) break;
    widths[column] = (widths[column] ?? 0) - 1;
  }
  return widths;
};

const clean = (text: string): string => text.replace(/\p{Cc}/gu, '\ufffd');

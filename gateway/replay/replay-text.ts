import CliTable from 'cli-table3';
import type { GuardReading } from './guards.ts';
import type { ReplayReport } from './report.ts';
import { type Section, sectionsOf } from './sections.ts';

/** A report for a terminal. Control characters of names never reach it. */
export const replayText = (report: ReplayReport, guards: readonly GuardReading[]): string =>
  sectionsOf(report, guards).map(sectionText).join('\n\n');

const sectionText = ({ title, notes, table }: Section): string => {
  const lines = [clean(title), ...notes.map((note) => clean(note))];
  if (table) {
    const shown = new CliTable({
      head: table.head.map(clean),
      colAligns: table.head.map((_, column) => (table.right.includes(column) ? ('right' as const) : ('left' as const))),
      style: { head: [], border: [], compact: true },
    });
    for (const row of table.rows) shown.push(row.map(clean));
    lines.push(shown.toString());
  }
  return lines.join('\n');
};

const clean = (text: string): string => text.replace(/\p{Cc}/gu, '\ufffd');

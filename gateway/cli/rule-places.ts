import type { ExplanationTable } from '../policy/explanation-table.ts';

/** How people are told of rules: id, title and `file:line`, a line each. `folder` is the name of the policies' folder. */
export const placesOfRules = (rules: readonly string[], table: ExplanationTable, folder: string): string[] => {
  const rows = rules.map((id) => {
    const known = table[id];
    // A bundle names its sources from a folder `policies`, whatever theirs is called.
    const place = known === undefined ? '' : `${known.file.replace(/^policies\//, `${folder}/`)}:${known.line}`;
    return [id, place, known?.title ?? 'no METADATA names it'] as const;
  });
  const widths = [0, 1].map((column) => Math.max(0, ...rows.map((row) => (row[column] as string).length)));
  return rows.map(([id, place, title]) => `${id.padEnd(widths[0] ?? 0)}  ${place.padEnd(widths[1] ?? 0)}  ${title}`);
};

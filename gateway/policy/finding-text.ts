import { type Finding, placeOf } from './finding.ts';

/** Findings for a terminal: place, why, check; below it what to do. The last line counts them. */
export const findingsText = (findings: readonly Finding[]): string =>
  [
    ...findings.map((finding) => {
      const { level, why, check, fix } = finding;
      return `${placeOf(finding)}  ${level === 'warning' ? 'warning: ' : ''}${why}  [${check}]\n    fix: ${fix}`;
    }),
    countsOf(findings),
  ].join('\n');

/** `2 errors, 1 warning`; `no findings`. */
export const countsOf = (findings: readonly Finding[]): string => {
  const errors = findings.filter(({ level }) => level === 'error').length;
  const warnings = findings.length - errors;
  const counted = (count: number, word: string): string[] =>
    count === 0 ? [] : [`${count} ${word}${count === 1 ? '' : 's'}`];
  return [...counted(errors, 'error'), ...counted(warnings, 'warning')].join(', ') || 'no findings';
};

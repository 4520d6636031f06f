import { type Finding, placeOf } from './finding.ts';
import { countsOf } from './finding-text.ts';

/** By this a job finds its earlier comment on a pull request, to write over it. */
const MARKER = '<!-- aegis-check -->';
/** A comment on GitHub holds 65,536 characters; a table that people read holds fewer rows. */
const ROWS = 100;

/** Findings as a comment for a pull request: a table, errors first. */
export const findingsMarkdown = (findings: readonly Finding[]): string => {
  const head = [MARKER, `### Policy check: ${countsOf(findings)}`, ''];
  if (findings.length === 0) return `${[...head, 'Nothing to mend.'].join('\n')}\n`;
  const sorted = [...findings].sort((a, b) => (a.level === b.level ? 0 : a.level === 'error' ? -1 : 1));
  const rows = sorted.slice(0, ROWS).map((finding) => {
    const { level, why, fix, check } = finding;
    return `| ${level} | ${code(placeOf(finding))} | ${cell(why)} | ${cell(fix)} | ${cell(check)} |`;
  });
  const more = sorted.length > ROWS ? ['', `${sorted.length - ROWS} more are not shown: run \`./aegis check\`.`] : [];
  return `${[...head, '| level | place | why | what to do | check |', '|---|---|---|---|---|', ...rows, ...more].join('\n')}\n`;
};

/** Text that Markdown and HTML leave alone, on one line. */
const cell = (text: string): string =>
  text.replace(/[\\`*_{}[\]<>|~#@&]/g, (character) => `&#${character.charCodeAt(0)};`).replace(/\s+/g, ' ');

const code = (text: string): string => `\`${text.replaceAll('`', '').replaceAll('|', '\\|')}\``;

import { CHECKS } from './check-catalogue.ts';
import type { Remark } from './finding.ts';

/** `# aegis: accept <check> because <reason>`, in the comment right above the line that a finding names. */
const ACCEPT = /^\s*#\s*aegis:\s*accept\b\s*(\S*)\s*(.*)$/;
const REASON = /^because\s+\S.*\S/;

/** A file of the sources, by the name that findings use. */
export interface SourceText {
  readonly file: string;
  readonly text: string;
}

interface Acceptance {
  line: number;
  check: string;
  used: boolean;
}

/**
 * Takes out what a person judged and accepted, and adds what is wrong with the acceptances themselves: one without a
 * reason, of a check that is none or cannot be accepted, or of a finding that is gone.
 */
export const applyAcceptances = (remarks: readonly Remark[], sources: readonly SourceText[]): Remark[] => {
  const result: Remark[] = [];
  const byFile = new Map<string, { lines: string[]; acceptances: Acceptance[] }>();
  for (const { file, text } of sources) {
    const lines = text.split('\n');
    byFile.set(file, { lines, acceptances: acceptancesOf(file, lines, result) });
  }
  for (const remark of remarks) {
    const source = byFile.get(remark.file);
    const acceptance = source && coverOf(remark, source.lines, source.acceptances);
    if (acceptance === undefined) result.push(remark);
    else acceptance.used = true;
  }
  for (const [file, { acceptances }] of byFile) {
    for (const { line, check, used } of acceptances) {
      if (used) continue;
      const why = `there is no finding of ${check} on the line below: it was mended, or the comment stands elsewhere`;
      result.push({
        file,
        line,
        check: 'accept-unused',
        why,
        fix: 'remove the comment, or move it right above the line',
      });
    }
  }
  return result;
};

/** The valid acceptances of a file; the others are reported. */
const acceptancesOf = (file: string, lines: readonly string[], remarks: Remark[]): Acceptance[] => {
  const acceptances: Acceptance[] = [];
  for (const [index, text] of lines.entries()) {
    const [, check, reason] = ACCEPT.exec(text) ?? [];
    if (check === undefined || reason === undefined) continue;
    const line = index + 1;
    const wrong = (why: string, fix: string): number => remarks.push({ file, line, check: 'accept', why, fix });
    if (!CHECKS[check])
      wrong(`there is no check "${check}"`, 'name the check that stands in brackets behind the finding');
    else if (!CHECKS[check].acceptable) wrong(`${check} cannot be accepted`, 'mend what it found');
    else if (!REASON.test(reason))
      wrong('an acceptance needs a reason, for the next person', `# aegis: accept ${check} because …`);
    else acceptances.push({ line, check, used: false });
  }
  return acceptances;
};

/** The acceptance of a finding: in the comment lines right above it, METADATA included. */
const coverOf = (
  { line, check }: Remark,
  lines: readonly string[],
  acceptances: readonly Acceptance[],
): Acceptance | undefined => {
  for (let above = line - 1; above >= 1 && lines[above - 1]?.trimStart().startsWith('#'); above -= 1) {
    const found = acceptances.find((acceptance) => acceptance.line === above && acceptance.check === check);
    if (found !== undefined) return found;
  }
  return undefined;
};

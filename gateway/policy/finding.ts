/** Whether a finding stops a merge (error) or wants a person's eye (warning). */
export type Level = 'error' | 'warning';

/** What one check says of one place, before the catalogue gives it a level. */
export interface Remark {
  /** From the policies' folder's parent, such as policies/rules/access/access.rego. */
  file: string;
  /** From 1; 0 when it concerns the whole file. */
  line: number;
  column?: number;
  /** Which check found it: a name of check-catalogue.ts, or the compiler's own code. */
  check: string;
  why: string;
  fix: string;
}

/** Something wrong in a policy's sources: how bad, where, why, and what to do. */
export interface Finding extends Remark {
  level: Level;
}

/** `file:line:column` as editors open it. */
export const placeOf = ({ file, line, column }: Remark): string =>
  [file, ...(line > 0 ? [line, ...(column === undefined ? [] : [column])] : [])].join(':');

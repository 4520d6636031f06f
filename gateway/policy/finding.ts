/** Something wrong in a policy's sources: where, why, and what to do. */
export interface Finding {
  /** From the policies' folder's parent, such as policies/rules/access/access.rego. */
  file: string;
  /** From 1; 0 when it concerns the whole file. */
  line: number;
  column?: number;
  /** Which check found it. */
  check: string;
  why: string;
  fix: string;
}

/** `file:line:column` as editors open it. */
export const placeOf = ({ file, line, column }: Finding): string =>
  [file, ...(line > 0 ? [line, ...(column === undefined ? [] : [column])] : [])].join(':');

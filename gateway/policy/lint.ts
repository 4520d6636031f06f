import type { Remark } from './finding.ts';
import { lintCalls, lintNumbers } from './lint-calls.ts';
import { lintComparisons } from './lint-comparisons.ts';
import { lintContradictions } from './lint-contradictions.ts';
import { lintDeny } from './lint-deny.ts';
import { lintFolders } from './lint-folders.ts';
import { lintGrant } from './lint-grants.ts';
import { lintNames } from './lint-names.ts';
import { lintNegations } from './lint-negations.ts';
import { lintObligations } from './lint-obligations.ts';
import type { Report } from './lint-report.ts';
import { lintSetOrder } from './lint-set-order.ts';
import { lintShadowed } from './lint-shadowed.ts';
import { lintUnused } from './lint-unused.ts';
import { bodiesOf } from './rego-bodies.ts';
import { createProgram, type ParsedFile } from './rego-program.ts';

/** What the rules are held against. */
export interface LintContext {
  /** The data as rules see them. */
  data: Readonly<Record<string, unknown>>;
  /** The day on which models are looked at, YYYY-MM-DD. */
  today: string;
  /** Whether all modules are here: else what nothing reads here may be read elsewhere. */
  complete: boolean;
}

/**
 * What the compiler accepts and a policy must not do: the ways in which Rego fails open or behaves otherwise in WASM,
 * names that are nowhere, rules that never fire or never decide. Each is explained in docs/policy-guide.md.
 */
export const lintModules = (parsed: readonly ParsedFile[], context: LintContext): Remark[] => {
  const program = createProgram(parsed);
  const remarks = [...lintFolders(parsed)];
  const reportIn =
    (file: string): Report =>
    ({ row, col }, check, why, fix) =>
      remarks.push({ file, line: row, column: col, check, why, fix });
  for (const { file, module, names } of program.files) {
    const report = reportIn(file);
    for (const rule of module.rules ?? []) {
      const bodies = bodiesOf(rule, program, names);
      lintGrant(rule, report);
      lintDeny(rule, names.package, report);
      lintNegations(bodies, report);
      lintCalls(rule, report);
      lintNumbers(rule, report);
      lintObligations(rule, report);
      lintComparisons(bodies, report);
      lintContradictions(bodies, report);
      lintNames(bodies, context, report);
      lintSetOrder(bodies, report);
    }
  }
  lintShadowed(program, reportIn);
  if (context.complete) lintUnused(program, reportIn);
  return distinct(remarks);
};

/** One place may be reached in two ways. */
const distinct = (remarks: readonly Remark[]): Remark[] => [
  ...new Map(remarks.map((remark) => [JSON.stringify(remark), remark])).values(),
];

import type { SuiteName, TestSuite } from '../policy/test-result.ts';
import type { AllTests } from './run-all-tests.ts';
import type { ScenarioUpdate } from './update-scenarios.ts';

/** So many failures of one suite are shown; a rule that is wrong everywhere would fill the screen. */
const FAILURES = 20;

const LABELS: Readonly<Record<SuiteName, string>> = {
  rego: 'unit tests',
  wasm: 'on WASM',
  scenarios: 'scenarios',
  'field-drop': 'field-drop',
  differential: 'differential',
};

/** Test results for a terminal: failures first, then what was rewritten, then a line a suite. */
export const testReport = ({ suites, updates }: Pick<AllTests, 'suites' | 'updates'>): string[] => [
  ...suites.flatMap(failuresOf),
  ...updatesOf(updates),
  ...suites.map(summary),
];

const failuresOf = ({ name, results }: TestSuite): string[] => {
  const failed = results.filter(({ ok }) => !ok);
  const rest = failed.length - FAILURES;
  return [
    ...failed.slice(0, FAILURES).map((test) => `FAILED  ${LABELS[name]}: ${test.name}\n${indent(test.detail)}\n`),
    ...(rest > 0 ? [`… and ${rest} more failures of ${LABELS[name]}: --json and --junit have all\n`] : []),
  ];
};

const updatesOf = (updates: readonly ScenarioUpdate[]): string[] => {
  if (updates.length === 0) return [];
  const flips = updates.filter(({ fields }) =>
    fields.some(({ field, from }) => field === 'allow' && from !== undefined),
  );
  const place = ({ name, file, line }: ScenarioUpdate): string => `${file}:${line}  ${name}`;
  const flip = (update: ScenarioUpdate): string => {
    const allowed = update.fields.some(({ field, to }) => field === 'allow' && to === true);
    return `    ${allowed ? 'REFUSED before, ALLOWED now' : 'allowed before, refused now'}  ${place(update)}`;
  };
  const changes = updates.flatMap((update) => [
    place(update),
    ...update.fields.map(
      ({ field, from, to }) => `    ${field}: ${from === undefined ? '' : `${show(from)} → `}${show(to)}`,
    ),
  ]);
  return [
    `rewritten: ${updates.length} scenario${updates.length === 1 ? '' : 's'}. Review each change before it is committed: git diff`,
    ...changes.map((line) => `  ${line}`),
    ...(flips.length === 0
      ? []
      : ['', `  !! ${flips.length} of them turned a decision round:`, ...flips.map((update) => `  ${flip(update)}`)]),
    '',
  ];
};

const show = (value: unknown): string => JSON.stringify(value) ?? String(value);

const summary = ({ name, results, skipped, note }: TestSuite): string => {
  const failed = results.filter(({ ok }) => !ok).length;
  const counts = failed === 0 ? `${results.length} passed` : `${results.length - failed} passed, ${failed} failed`;
  const rest = note === undefined ? '' : `, ${note}`;
  return `${LABELS[name].padEnd(16)}${skipped === undefined ? `${counts}${rest}` : `skipped: ${skipped}`}`;
};

const indent = (text: string): string => text.replace(/^(?=.)/gm, '    ');

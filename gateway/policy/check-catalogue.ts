import type { Level } from './finding.ts';

/** One check: how bad its findings are, what it looks for and why, and whether a person may accept one. */
export interface Check {
  level: Level;
  title: string;
  /** Why it matters and what to do, for people who see the finding in a pull request. */
  help: string;
  /** Whether `# aegis: accept` silences it. What the compiler or the data's schema refuse cannot be accepted. */
  acceptable: boolean;
}

const error = (title: string, help: string): Check => ({ level: 'error', title, help, acceptable: true });
const warning = (title: string, help: string): Check => ({ level: 'warning', title, help, acceptable: true });
const fixed = (title: string, help: string): Check => ({ level: 'error', title, help, acceptable: false });

/** Every check of `aegis check` by name, in the order of docs/policy-guide.md, which has a row for each. */
export const CHECKS: Readonly<Record<string, Check>> = {
  format: fixed('A file is not formatted', 'Reviews should show changes of meaning alone: opa fmt --write FILE.'),
  data: fixed(
    'Data break their schema',
    'Rules read data by name: a field that is misspelt or of another type makes them undefined. See schemas/policy-data.json.',
  ),
  'data-name': fixed(
    'A data file would be ignored',
    'The compiler loads files named data.yaml and data.json alone: rename the file, or say in it that it is no data.',
  ),
  reference: error(
    'A name refers to nothing',
    'A model, tier, role, workflow, upstream, team or field that does not exist makes a rule undefined, and an undefined deny refuses nothing. Use a name that exists.',
  ),
  'absence-grants': error(
    'A grant holds because nothing denied',
    'A deny rule whose field is missing does not deny. Name in the grant the facts that it needs.',
  ),
  'missing-grants': error(
    'A missing field grants',
    '`not input.x` is true when x is missing. Name in the grant the facts that it needs.',
  ),
  'open-default': error('A grant is true by default', 'What nobody decided must be a no: default granted := false.'),
  'no-grant': error(
    'A folder can only deny',
    'With a fact missing it says nothing, and silence is no objection. Start it with default granted := false.',
  ),
  'negated-input': error(
    'A negated call on a field of the input',
    'With the field missing it is undefined and not true, so the rule does not hold. Turn the comparison round, or negate a helper rule.',
  ),
  types: error(
    'A comparison of different types',
    'Rego orders types: "9" >= 5 is true, and "5" == 5 never is. Compare with a constant of the field’s type.',
  ),
  'null-order': error('An order of what may be null', 'null < 5 is true in Rego: ask is_number or is_string first.'),
  sprintf: error(
    'sprintf',
    'An argument that is undefined drops the whole rule, the deny included, and WASM formats otherwise. Use a template string.',
  ),
  'replace-search': error(
    'A search text that can be empty',
    'In WASM a replacement of the empty text never ends. Use a constant that is not empty.',
  ),
  'named-group': error('A group that RE2 does not know', 'Write (?P<name>…) for (?<name>…).'),
  'large-number': error(
    'A number that is not exact',
    'Above 2^53 numbers lose digits in WASM, and beyond 1e308 they become null. Write it as a string, or in other units.',
  ),
  'set-order': warning(
    'A list in the order of a set',
    'Sets have no order: WASM and the interpreter give other lists. Wrap the set or the list in sort(…).',
  ),
  'deny-metadata': error(
    'A deny rule without title or code',
    'explain and the callers need to know it: put METADATA with title, description and custom.code above it.',
  ),
  'deny-code': error('A deny rule with another code than its METADATA', 'Make both the same.'),
  'deny-rule': error('A deny rule with the name of another', 'Its "rule" is <folder>.<code>.'),
  'not-executed': error(
    'An obligation that no stage executes',
    'The gateway refuses a decision with it. Leave it out, or null.',
  ),
  'never-true': error(
    'A condition that can never hold',
    'The rule never fires: a deny with it is no protection, a grant with it grants nobody. Mend the condition or remove the rule.',
  ),
  'always-true': error(
    'A condition that always holds',
    'It excludes nothing: most often its name is misspelt. Mend it or remove it.',
  ),
  contradiction: error(
    'Conditions that exclude each other',
    'No request meets both, so the rule never fires. Remove one, or make two rules of it.',
  ),
  conflict: error(
    'Two values at once',
    'Where both bodies hold the evaluation stops and the caller gets 503. Make the conditions exclude each other.',
  ),
  shadowed: warning(
    'A rule that never decides',
    'Whenever it holds, another holds with the same result or refuses as well. Remove it, or the one that is too wide.',
  ),
  unused: warning(
    'A rule that nothing reads',
    'No decision depends on it: most often the name is misspelt where it should be read. Use it or remove it.',
  ),
  'deprecated-model': warning(
    'A model in use is retired, or soon will be',
    'From that day on the provider refuses it. Put its successor in its place.',
  ),
  experiment: error(
    'An experiment that cannot be',
    'With shares over 100 the last arms get less than theirs, and with an end before its start nobody takes part.',
  ),
  overlap: warning(
    'Experiments or mirrors that meet',
    'A request belongs to one experiment and one mirror, the first by id, so the other gets fewer, and with the same salt not by chance. Give each its own salt, and audiences or times that do not meet.',
  ),
  unmeasured: warning(
    'Measured quality that decides nothing',
    'A measurement has ended or rests on too few tasks, or a model in use has none where others have: routing goes on without it. Measure again.',
  ),
  accept: fixed(
    'An acceptance that is not one',
    'Write “# aegis: accept CHECK because REASON”, right above the line of the finding.',
  ),
  'accept-unused': {
    ...warning('An acceptance of nothing', 'What it accepted is gone: remove the comment.'),
    acceptable: false,
  },
};

const COMPILER: Check = fixed(
  'The compiler refuses it',
  'opa check --strict with schemas/input.json and capabilities.json: misspelt fields, unused names, functions that WASM does not have.',
);

/** A check by name; what is not of ours is the compiler's. */
export const checkNamed = (name: string): Check => CHECKS[name] ?? COMPILER;

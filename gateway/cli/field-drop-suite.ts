import { basename } from 'node:path';
import { type DroppedField, dropFields, type FailOpen, type NamedInput } from '../policy/field-drop.ts';
import type { Policy } from '../policy/policy.ts';
import type { TestResult, TestSuite } from '../policy/test-result.ts';
import { placesOfRules } from './rule-places.ts';

/** So many inputs are shown of one field. */
const EXAMPLES = 3;

/** Leaves out each field of each input: a test a field, which fails when any input is granted more without it. */
export const fieldDropSuite = (inputs: readonly NamedInput[], policy: Policy, policies: string): TestSuite => {
  const dropped = dropFields(inputs, policy);
  const decided = dropped.reduce((sum, field) => sum + field.decided, 0);
  return {
    name: 'field-drop',
    results: dropped.map((field) => resultOf(field, policy, basename(policies))),
    note: `${decided} decisions on ${inputs.length} ${inputs.length === 1 ? 'input' : 'inputs'}, each without one field`,
  };
};

const resultOf = ({ field, decided, open, ms }: DroppedField, policy: Policy, folder: string): TestResult => {
  const result: TestResult = { suite: 'field-drop', name: `without ${field}`, ok: open.length === 0, detail: '', ms };
  if (open.length === 0) return result;
  // Scenarios come first: people wrote them.
  const examples = [...open].sort((a, b) => Number(b.base.file !== undefined) - Number(a.base.file !== undefined));
  const shown = examples.slice(0, EXAMPLES).flatMap((example) => ['', ...exampleOf(example, policy, folder)]);
  const rest = open.length - Math.min(open.length, EXAMPLES);
  const { file, line } = examples[0]?.base ?? {};
  const detail = [
    `more is granted when ${field} is missing, to ${open.length} of ${decided} inputs:`,
    ...shown,
    ...(rest === 0 ? [] : ['', `and ${rest} more`]),
    '',
    `fix: a rule that reads a missing field is undefined, so it does not deny. Let granted of its folder ask for input.${plainName(field)} first.`,
  ].join('\n');
  return { ...result, detail, ...(file === undefined ? {} : { file }), ...(line === undefined ? {} : { line }) };
};

const exampleOf = ({ base, grants, whole, some }: FailOpen, policy: Policy, folder: string): string[] => {
  const table = policy.manifest.metadata.aegis.rules;
  const before = whole?.rules ?? [];
  const silent = before.filter((rule) => !some.rules.includes(rule));
  const others = some.rules.filter((rule) => !silent.includes(rule));
  const list = (title: string, rules: readonly string[]): string[] =>
    rules.length === 0 ? [] : [`  ${title}`, ...placesOfRules(rules, table, folder).map((line) => `    ${line}`)];
  return [
    base.file === undefined ? base.name : `${base.name}  (${base.file}:${base.line})`,
    ...grants.map(({ part, how }) => `  ${part.padEnd(18)} ${how}`),
    ...list('rules that are silent without it', silent),
    ...list('rules that fired without it', others),
    ...(silent.length + others.length === 0 ? ['  no rule fired without it'] : []),
  ];
};

/** Names of fields in lists and tables end where those begin: that is what a rule asks for. */
const plainName = (field: string): string => field.split(/\[\]|\.\*/)[0] as string;

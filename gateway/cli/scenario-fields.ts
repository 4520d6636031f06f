import { isDeepStrictEqual } from 'node:util';
import type { Scenario } from '../types.gen.ts';
import type { Outcome, Refusal } from './scenario-outcome.ts';

/** What a scenario expects. */
export type Expect = NonNullable<Scenario['expect']>;
export type FieldName = keyof Expect;

/** One expectation that did not come true. */
export interface Difference {
  field: FieldName;
  expected: unknown;
  /** What happened, for people. */
  actual: unknown;
  /** What the field would have to say to come true; undefined where only a person can say what is meant. */
  golden?: unknown;
}

interface Field<T> {
  /** What happened, in the shape in which it is expected. */
  actual(outcome: Outcome, expected: T, expect: Expect): unknown;
  /** Whether it is what was expected; equality without it. */
  holds?(expected: T, actual: unknown): boolean;
}

/** Every field of `expect` that states what happened, in the order in which people read it. */
const FIELDS: { readonly [K in Exclude<FieldName, 'leaves' | 'stays'>]: Field<NonNullable<Expect[K]>> } = {
  allow: { actual: ({ allow }) => allow },
  code: {
    actual: ({ refusals }, expected) => (entryOf(refusals, expected) ?? refusals[0])?.code ?? null,
  },
  message: {
    actual: ({ refusals }, _, { code }) => (entryOf(refusals, code) ?? refusals[0])?.message ?? null,
    holds: isPieceOf,
  },
  hint: {
    actual: ({ refusals }, _, { code }) => (entryOf(refusals, code) ?? refusals[0])?.hint ?? null,
    holds: isPieceOf,
  },
  model: { actual: ({ decision }) => decision?.route.candidates[0]?.model ?? null },
  upstream: { actual: ({ decision }) => decision?.route.candidates[0]?.upstream ?? null },
  fallbacks: { actual: ({ decision }) => (decision?.route.candidates ?? []).slice(1).map(({ model }) => model) },
  reason: { actual: ({ decision }) => decision?.route.reason ?? null },
  experiment: { actual: ({ decision }) => decision?.route.experiment ?? null },
  mirror: { actual: ({ decision }) => decision?.route.mirror?.model ?? null },
  models: { actual: ({ models }) => models ?? null },
  redact: {
    actual: ({ decision }) =>
      Object.fromEntries((decision?.redact ?? []).map(({ entity, action }) => [entity, action])),
  },
  restore: {
    actual: ({ decision }) =>
      Object.fromEntries((decision?.redact ?? []).map(({ entity, restore }) => [entity, restore])),
  },
  sends: { actual: ({ sent }) => sent?.texts ?? null },
  tools_removed: { actual: ({ decision }) => decision?.tools.remove ?? [] },
  max_output_tokens: { actual: ({ decision }) => decision?.parameters.max_output_tokens ?? null },
  tier: { actual: ({ decision }) => decision?.rate.tier ?? null },
  limits: { actual: ({ decision }, expected) => namedParts(decision?.rate.limits ?? [], expected, (limit) => limit) },
  budgets: { actual: ({ decision }, expected) => namedParts(decision?.budgets ?? [], expected, ({ scope }) => scope) },
  audit: { actual: ({ decision }) => decision?.audit.content ?? null },
  retention_days: { actual: ({ decision }) => decision?.audit.retention_days ?? null },
  acting_for: { actual: ({ decision }) => decision?.acting_for ?? null },
  rules: {
    actual: ({ decision }) => decision?.rules ?? [],
    holds: (expected, actual) => expected.every((rule) => (actual as string[]).includes(rule)),
  },
};

/** Where an outcome is not what a scenario expects, in the order of the fields; none when it is. */
export const compareOutcome = (expect: Expect, outcome: Outcome): Difference[] => {
  const differences: Difference[] = [];
  for (const name of Object.keys(FIELDS) as (keyof typeof FIELDS)[]) {
    const expected = expect[name];
    if (expected === undefined) continue;
    const actual = fieldOf(name, outcome, expect);
    const { holds = isDeepStrictEqual } = FIELDS[name] as Field<unknown>;
    const isRight = expected === null ? actual === null : holds(expected, actual);
    if (!isRight) differences.push({ field: name, expected, actual, golden: actual });
  }
  return [...differences, ...textDifferences(expect, outcome)];
};

/** What happened, as a field of `expect` says it. */
export const fieldOf = (name: keyof typeof FIELDS, outcome: Outcome, expect: Expect): unknown =>
  (FIELDS[name] as Field<unknown>).actual(outcome, expect[name] ?? undefined, expect);

/** `leaves` and `stays` are what a person wants to be true: they have no golden value. */
const textDifferences = ({ leaves = [], stays = [] }: Expect, { sent }: Outcome): Difference[] => {
  const actual = sent?.body ?? null;
  return [
    ...leaves
      .filter((text) => !actual?.includes(text))
      .map((expected) => ({ field: 'leaves' as const, expected, actual })),
    // What is not sent does not leave; but then the scenario does not say what it means to say.
    ...stays
      .filter((text) => actual === null || actual.includes(text))
      .map((expected) => ({ field: 'stays' as const, expected, actual })),
  ];
};

const entryOf = (refusals: readonly Refusal[], code: string | null | undefined): Refusal | undefined =>
  refusals.find((refusal) => refusal.code === code);

function isPieceOf(expected: string, actual: unknown): boolean {
  return typeof actual === 'string' && actual.includes(expected);
}

/** Entries as they are expected: of each what is named there; one that nothing is said of in the form of `bare`. */
const namedParts = <T extends object>(
  entries: readonly T[],
  expected: readonly (string | object)[] | undefined,
  bare: (entry: T) => unknown,
): unknown[] =>
  entries.map((entry, index) => {
    const wanted = expected?.[index] ?? expected?.at(-1);
    if (typeof wanted !== 'object') return bare(entry);
    const parts = entry as Record<string, unknown>;
    return Object.fromEntries(Object.keys(wanted).map((name) => [name, parts[name] ?? null]));
  });

import type { Decision } from '../types.gen.ts';
import type { Verdict } from './re-decide.ts';
import { isSameJson } from './same-json.ts';

/** In what two decisions differ, most telling first. `wording` (messages, hints, reasons) touches nobody's request. */
export const FACETS = [
  'denied',
  'allowed',
  'denial',
  'failed',
  'mended',
  'model',
  'fallbacks',
  'redaction_lost',
  'redaction',
  'tier',
  'parameters',
  'tools',
  'limits',
  'budgets',
  'audit',
  'user',
  'experiment',
  'wording',
] as const;
export type Facet = (typeof FACETS)[number];

/** One difference, in words that are the same for all decisions that differ in this way. */
export interface Difference {
  readonly facet: Facet;
  readonly before: string;
  readonly after: string;
}

/** How two verdicts on one input differ; empty when they do not. What a refused request would have been told to do is not compared. */
export const differencesOf = (before: Verdict, after: Verdict): Difference[] => {
  if ('failure' in before || 'failure' in after) return failureOf(before, after);
  const [one, other] = [before.decision, after.decision];
  if (one.allow !== other.allow) {
    return one.allow
      ? [{ facet: 'denied', before: 'allow', after: codesOf(other) }]
      : [{ facet: 'allowed', before: codesOf(one), after: 'allow' }];
  }
  if (isSameJson(one, other)) return [];
  const found = one.allow ? obligations(one, other) : denials(one, other);
  if (found.length === 0 && !isSameJson({ ...one, rules: [] }, { ...other, rules: [] })) {
    found.push({ facet: 'wording', before: 'as it was', after: 'other messages, hints, reasons or order' });
  }
  return found;
};

const failureOf = (before: Verdict, after: Verdict): Difference[] => {
  if ('failure' in before) {
    if ('failure' in after) return [];
    return [{ facet: 'mended', before: before.failure, after: outcomeOf(after.decision) }];
  }
  return 'failure' in after ? [{ facet: 'failed', before: outcomeOf(before.decision), after: after.failure }] : [];
};

const outcomeOf = (decision: Decision): string => (decision.allow ? 'allow' : codesOf(decision));

/** The codes of a refusal, the one first that the caller sees. */
const codesOf = ({ deny }: Decision): string => {
  const [first, ...others] = deny.map(({ code }) => code);
  if (first === undefined) return 'no rule allows it';
  return [first, ...[...new Set(others)].filter((code) => code !== first).sort()].join(', ');
};

const denials = (one: Decision, other: Decision): Difference[] => {
  const [before, after] = [codesOf(one), codesOf(other)];
  return before === after ? [] : [{ facet: 'denial', before, after }];
};

const obligations = (one: Decision, other: Decision): Difference[] => {
  const found: Difference[] = [];
  const add = (facet: Facet, before: string, after: string): void => {
    if (before !== after) found.push({ facet, before, after });
  };
  const [first, ...rest] = one.route.candidates.map(candidate);
  const [otherFirst, ...otherRest] = other.route.candidates.map(candidate);
  if (first !== otherFirst) add('model', first ?? 'none', otherFirst ?? 'none');
  else add('fallbacks', rest.join(', ') || 'none', otherRest.join(', ') || 'none');
  redactions(one, other, add);
  add('tier', one.rate.tier, other.rate.tier);
  figures('parameters', one.parameters, other.parameters, add);
  add('tools', listed(one.tools.remove), listed(other.tools.remove));
  for (const [name, before, after] of joined(limitsOf(one), limitsOf(other))) {
    add('limits', `${name} ${before}`, `${name} ${after}`);
  }
  for (const [name, before, after] of joined(budgetsOf(one), budgetsOf(other))) {
    add('budgets', `${name} ${before}`, `${name} ${after}`);
  }
  add('audit', kept(one), kept(other));
  if ((one.acting_for ?? '') !== (other.acting_for ?? '')) {
    add(
      'user',
      one.acting_for ? 'the end user' : 'the caller itself',
      other.acting_for ? 'the end user' : 'the caller itself',
    );
  }
  add('experiment', experiment(one), experiment(other));
  return found;
};

const candidate = ({ model, upstream }: Decision['route']['candidates'][number]): string => `${model} at ${upstream}`;

const listed = (names: readonly string[]): string => (names.length === 0 ? 'none' : [...names].sort().join(', '));

const kept = ({ audit }: Decision): string => `${audit.content}, ${audit.retention_days} days`;

const experiment = ({ route }: Decision): string =>
  route.experiment ? `${route.experiment.id}: ${route.experiment.arm}` : 'none';

type Add = (facet: Facet, before: string, after: string) => void;

const redactions = (one: Decision, other: Decision, add: Add): void => {
  const of = ({ redact }: Decision): Map<string, string> =>
    new Map(
      redact.map(({ entity, action, restore }) => [
        entity,
        restore.length > 0 ? `${action}, restored in ${[...restore].sort().join(' and ')}` : action,
      ]),
    );
  for (const [entity, before, after] of joined(of(one), of(other))) {
    add(after === NONE ? 'redaction_lost' : 'redaction', `${entity}: ${before}`, `${entity}: ${after}`);
  }
};

const figures = (facet: Facet, one: object, other: object, add: Add): void => {
  const of = (values: object): Map<string, string> =>
    new Map(Object.entries(values).map(([name, value]) => [name, JSON.stringify(value)]));
  for (const [name, before, after] of joined(of(one), of(other))) add(facet, `${name} ${before}`, `${name} ${after}`);
};

const NONE = 'none';

/** The entries that two tables do not share, sorted by name. */
const joined = (one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): [string, string, string][] =>
  [...new Set([...one.keys(), ...other.keys()])].sort().flatMap((name): [string, string, string][] => {
    const [before, after] = [one.get(name) ?? NONE, other.get(name) ?? NONE];
    return before === after ? [] : [[name, before, after]];
  });

/** By scope and kind, never by subject: the same change for each user is one change. */
const limitsOf = ({ rate }: Decision): Map<string, string> =>
  grouped(
    rate.limits.flatMap(({ scope, requests_per_minute, tokens_per_minute, concurrent }) => [
      [`${scope}: requests a minute`, requests_per_minute] as const,
      [`${scope}: tokens a minute`, tokens_per_minute] as const,
      [`${scope}: at a time`, concurrent] as const,
    ]),
  );

const budgetsOf = ({ budgets }: Decision): Map<string, string> =>
  grouped(budgets.map(({ scope, period, micro_usd }) => [`${scope}: USD a ${period}`, micro_usd / 1e6] as const));

const grouped = (entries: readonly (readonly [string, number | undefined])[]): Map<string, string> => {
  const values = new Map<string, number[]>();
  for (const [name, value] of entries) {
    if (value !== undefined) values.set(name, [...(values.get(name) ?? []), value]);
  }
  return new Map([...values].map(([name, list]) => [name, list.sort((a, b) => a - b).join(' and ')]));
};

import type { Decision, Input } from '../types.gen.ts';
import type { Facet } from './compare.ts';

/** How often something was seen, by its name. */
export type Counts = Map<string, number>;

/** A decision that shows a difference: of all that do, the one with the smallest input. */
export interface Example {
  readonly id: string;
  readonly time: string;
  readonly caller: Pick<Input['caller'], 'id' | 'org' | 'team' | 'user' | 'roles'>;
  readonly purpose: Pick<Input['purpose'], 'workflow' | 'use_case'>;
  readonly endpoint: string;
  /** The model that was asked for. */
  readonly model: string;
  /** Size of the input's JSON. */
  readonly bytes: number;
  /** Rules that fired and codes of the refusal, under each; null where the policy failed. */
  readonly before: ShownDecision | null;
  readonly after: ShownDecision | null;
}

/** What a report shows of a decision: its ids and codes, never its messages. */
export interface ShownDecision {
  readonly allow: boolean;
  readonly codes: readonly string[];
  readonly rules: readonly string[];
  readonly route: readonly string[];
}

/** What is shown of a decision. */
export const shownOf = (decision: Decision): ShownDecision => ({
  allow: decision.allow,
  codes: decision.deny.map(({ code }) => code),
  rules: decision.rules,
  route: decision.route.candidates.map(({ model, upstream }) => `${model} at ${upstream}`),
});

/** All decisions that differ in one way. Amounts are micro-USD at the tokens that were used. */
export interface Change {
  readonly facet: Facet;
  readonly before: string;
  readonly after: string;
  count: number;
  /** Of those, requests that used tokens: what they cost at the model that is asked first. */
  used: number;
  costBefore: number;
  costAfter: number;
  example: Example;
}

/** Requests of one organisation, team, user or workflow. */
export interface Share {
  requests: number;
  touched: number;
  newlyDenied: number;
}

/** Micro-USD under both. */
export interface Money {
  requests: number;
  before: number;
  after: number;
}

/** Requests that only the candidate allows, of one model and workflow: their output is not known. */
export interface NewlyAllowed {
  requests: number;
  /** Cost of their estimated prompts at the candidate's prices. */
  promptMicroUsd: number;
}

/** Answers of one model to one workflow: how long they were. */
export interface Answers {
  requests: number;
  outputTokens: number;
}

export const DIMENSIONS = ['org', 'team', 'user', 'workflow'] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** What one worker has counted. Sums and smallest examples, so that any split over workers adds up to the same. */
export interface Tally {
  decisions: number;
  firstMs: number;
  lastMs: number;
  allowedBefore: number;
  allowedAfter: number;
  /** Decisions with a difference that touches the request. */
  touched: number;
  /** Decisions of one facet or more: each counted once a facet. */
  byFacet: Counts;
  changes: Map<string, Change>;
  who: Record<Dimension, Map<string, Share>>;
  rulesBefore: Counts;
  rulesAfter: Counts;
  failedBefore: Counts;
  failedAfter: Counts;
  /** Inputs of older versions, by what was added to them. */
  completed: number;
  added: Counts;
  /** Inputs that are none, by the reason. */
  unfit: Counts;
  /** Whose serving decision was taken from the record, and whose was made again and compared with it. */
  reused: number;
  proved: number;
  unproved: number;
  unprovedExample: Example | undefined;
  /** Decisions under another bundle than the serving one. */
  otherBundles: Counts;
  /** Intents that got no outcome in time. */
  underWay: number;
  /** Requests that a limit refused when they were made. */
  wasLimited: number;
  /** Requests with known usage. */
  used: number;
  /** Of those, answered by another model than the serving bundle would ask first. */
  fellBack: number;
  /** Usage that was estimated, for lack of the provider's. */
  estimated: number;
  recordedMicroUsd: number;
  money: Money;
  moneyByOrg: Map<string, Money>;
  moneyByModel: Map<string, Money>;
  /** Requests that used tokens and go to a model without a price. */
  unpriced: Counts;
  newlyAllowed: Map<string, NewlyAllowed>;
  answers: Map<string, Answers>;
}

/** Nothing counted yet. */
export const newTally = (): Tally => ({
  decisions: 0,
  firstMs: Number.POSITIVE_INFINITY,
  lastMs: Number.NEGATIVE_INFINITY,
  allowedBefore: 0,
  allowedAfter: 0,
  touched: 0,
  byFacet: new Map(),
  changes: new Map(),
  who: { org: new Map(), team: new Map(), user: new Map(), workflow: new Map() },
  rulesBefore: new Map(),
  rulesAfter: new Map(),
  failedBefore: new Map(),
  failedAfter: new Map(),
  completed: 0,
  added: new Map(),
  unfit: new Map(),
  reused: 0,
  proved: 0,
  unproved: 0,
  unprovedExample: undefined,
  otherBundles: new Map(),
  underWay: 0,
  wasLimited: 0,
  used: 0,
  fellBack: 0,
  estimated: 0,
  recordedMicroUsd: 0,
  money: { requests: 0, before: 0, after: 0 },
  moneyByOrg: new Map(),
  moneyByModel: new Map(),
  unpriced: new Map(),
  newlyAllowed: new Map(),
  answers: new Map(),
});

/** One more of a name. */
export const count = (counts: Counts, name: string, by = 1): void => {
  counts.set(name, (counts.get(name) ?? 0) + by);
};

/** The entry of a table, made when it is new. */
export const entryOf = <T>(table: Map<string, T>, name: string, make: () => T): T => {
  let entry = table.get(name);
  if (entry === undefined) {
    entry = make();
    table.set(name, entry);
  }
  return entry;
};

/** The example with the smaller input; of two of one size, the one with the smaller id. */
export const smaller = (one: Example, other: Example): Example => {
  if (one.bytes !== other.bytes) return one.bytes < other.bytes ? one : other;
  return one.id <= other.id ? one : other;
};

type Sums<T> = { [K in keyof T]: T[K] extends number ? K : never }[keyof T];

const SUMS = [
  'decisions',
  'allowedBefore',
  'allowedAfter',
  'touched',
  'completed',
  'reused',
  'proved',
  'unproved',
  'underWay',
  'wasLimited',
  'used',
  'fellBack',
  'estimated',
  'recordedMicroUsd',
] as const satisfies readonly Sums<Tally>[];
const COUNTS = [
  'byFacet',
  'rulesBefore',
  'rulesAfter',
  'failedBefore',
  'failedAfter',
  'added',
  'unfit',
  'otherBundles',
  'unpriced',
] as const;

/** Adds what another worker counted. */
export const addTally = (to: Tally, from: Tally): void => {
  for (const name of SUMS) to[name] += from[name];
  for (const name of COUNTS) for (const [key, by] of from[name]) count(to[name], key, by);
  to.firstMs = Math.min(to.firstMs, from.firstMs);
  to.lastMs = Math.max(to.lastMs, from.lastMs);
  addSums(to.money, from.money);
  for (const dimension of DIMENSIONS) addTables(to.who[dimension], from.who[dimension]);
  addTables(to.moneyByOrg, from.moneyByOrg);
  addTables(to.moneyByModel, from.moneyByModel);
  addTables(to.newlyAllowed, from.newlyAllowed);
  addTables(to.answers, from.answers);
  for (const [key, change] of from.changes) {
    const known = to.changes.get(key);
    if (!known) to.changes.set(key, change);
    else {
      known.count += change.count;
      known.used += change.used;
      known.costBefore += change.costBefore;
      known.costAfter += change.costAfter;
      known.example = smaller(known.example, change.example);
    }
  }
  const { unprovedExample } = from;
  if (unprovedExample) {
    to.unprovedExample = to.unprovedExample ? smaller(to.unprovedExample, unprovedExample) : unprovedExample;
  }
};

const addTables = <T extends object>(to: Map<string, T>, from: ReadonlyMap<string, T>): void => {
  for (const [name, entry] of from) {
    const known = to.get(name);
    if (known) addSums(known, entry);
    else to.set(name, entry);
  }
};

/** Both hold numbers alone. */
const addSums = (to: object, from: object): void => {
  const sums = to as Record<string, number>;
  for (const [name, value] of Object.entries(from as Record<string, number>)) sums[name] = (sums[name] ?? 0) + value;
};

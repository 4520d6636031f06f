import type { PriceTable } from '../prices.ts';
import type { Manifest } from '../types.gen.ts';
import { FACETS, type Facet } from './compare.ts';
import type { LimitEffect } from './limit-simulation.ts';
import { outputCost } from './pricing.ts';
import type { Replayed } from './replay.ts';
import { total } from './replayer.ts';
import { type Counts, DIMENSIONS, type Dimension, type Example, type Money, type Share, type Tally } from './tally.ts';

/** A rule with its title and place, as its bundle has them. */
export interface NamedRule {
  readonly id: string;
  readonly title: string | null;
  /** file:line; null for a rule that the bundle does not describe. */
  readonly place: string | null;
}

/** How often something was. */
export interface Counted {
  readonly name: string;
  readonly count: number;
}

/** One kind of difference, with the smallest input that shows it. */
export interface ReportedChange {
  readonly facet: Facet;
  readonly before: string;
  readonly after: string;
  readonly count: number;
  readonly used: number;
  readonly cost_before_micro_usd: number;
  readonly cost_after_micro_usd: number;
  readonly example: Omit<Example, 'before' | 'after'> & {
    readonly before: ReportedDecision;
    readonly after: ReportedDecision;
  };
}

/** One side of an example; `allow` is null where the policy failed. */
export interface ReportedDecision {
  readonly allow: boolean | null;
  readonly codes: readonly string[];
  readonly route: readonly string[];
  readonly rules: readonly NamedRule[];
}

/** Requests of one organisation, team, user or workflow. */
export interface Touched {
  readonly name: string;
  readonly requests: number;
  readonly touched: number;
  readonly newly_denied: number;
}

/** Cost of one organisation or model, micro-USD in the range. */
export interface Costs {
  readonly name: string;
  readonly requests: number;
  readonly before_micro_usd: number;
  readonly after_micro_usd: number;
}

/** A bundle by its names. */
export interface ReportedBundle {
  readonly revision: string;
  readonly digest: string;
  readonly sequence: number;
}

/** All that a replay tells, sorted: the same for the same log and bundles. Amounts are micro-USD of the sample and range. */
export interface ReplayReport {
  readonly source: string;
  readonly before: ReportedBundle;
  /** Null when only prices differ. */
  readonly after: ReportedBundle | null;
  readonly prices: {
    readonly file: string;
    readonly priced: readonly string[];
    readonly kept: readonly string[];
  } | null;
  readonly range: { readonly first: string; readonly last: string; readonly days: number } | null;
  readonly sample: number;
  readonly org: string | null;
  readonly decisions: {
    readonly total: number;
    readonly allowed: { readonly before: number; readonly after: number };
    readonly touched: number;
    readonly failed: { readonly before: number; readonly after: number };
    readonly completed: number;
    readonly added: readonly Counted[];
    readonly unfit: readonly Counted[];
    readonly reused: number;
    readonly proved: number;
    readonly unproved: number;
    readonly unproved_example: string | null;
    readonly other_bundles: readonly Counted[];
    readonly under_way: number;
    readonly was_limited: number;
  };
  readonly failures: { readonly before: readonly Counted[]; readonly after: readonly Counted[] };
  /** Decisions that differ, by what differs. */
  readonly facets: Readonly<Record<string, number>>;
  readonly changes: readonly ReportedChange[];
  readonly who: Readonly<Record<Dimension, { readonly touched: number; readonly top: readonly Touched[] }>>;
  readonly cost: {
    readonly requests: number;
    readonly fell_back: number;
    readonly estimated: number;
    readonly unpriced: readonly Counted[];
    readonly recorded_micro_usd: number;
    readonly before_micro_usd: number;
    readonly after_micro_usd: number;
    /** Of the cost before, that of requests which the candidate refuses or cannot decide: no saving of prices or routes. */
    readonly newly_denied_micro_usd: number;
    /** What the figures are multiplied by for 30 days; null where the range is too short. */
    readonly month_factor: number | null;
    readonly by_org: readonly Costs[];
    readonly by_model: readonly Costs[];
    readonly newly_allowed: {
      readonly requests: number;
      /** Their estimated prompts, and outputs as long as that model's usual ones. */
      readonly micro_usd: number;
      /** Of those, requests whose model answered nobody in the log: their output counts nothing. */
      readonly unknown_output: number;
    };
  };
  readonly limits: {
    readonly asked: { readonly before: number; readonly after: number };
    readonly refused: readonly { readonly limit: string; readonly before: number; readonly after: number }[];
    readonly newly_refused: number;
    readonly no_longer_refused: number;
  } | null;
  readonly rules: {
    readonly never_fired: readonly NamedRule[];
    readonly only_before: readonly (NamedRule & { readonly count: number })[];
    readonly only_after: readonly (NamedRule & { readonly count: number })[];
  };
}

/** What the report needs beside the counts. */
export interface ReportContext {
  readonly source: string;
  readonly before: { readonly manifest: Manifest; readonly digest: string };
  readonly after: { readonly manifest: Manifest; readonly digest: string } | undefined;
  /** The candidate's. */
  readonly pricesAfter: PriceTable;
  readonly priceFile: ReplayReport['prices'];
  readonly sample: number;
  readonly org: string | undefined;
}

const TOP = 10;
/** Rules that are asked about the control plane alone, which a replay does not ask about. */
const CONTROL_PLANE = 'aegis.admin';
const DAY_MS = 86_400_000;
const MONTH_DAYS = 30;
/** A shorter log says nothing about a month. */
const SHORTEST_MS = 3_600_000;

/** Puts the counts of a replay in order. */
export const reportOf = ({ tally, limits }: Replayed, context: ReportContext): ReplayReport => {
  const { before, after = before, sample } = context;
  const lengthMs = tally.decisions === 0 ? 0 : tally.lastMs - tally.firstMs;
  const rulesOf = ({ manifest }: typeof before) => manifest.metadata.aegis.rules;
  const name = (id: string, of: typeof before): NamedRule => {
    const rule = rulesOf(of)[id];
    return { id, title: rule?.title ?? null, place: rule ? `${rule.file}:${rule.line}` : null };
  };
  return {
    source: context.source,
    before: bundleOf(before),
    after: context.after ? bundleOf(context.after) : null,
    prices: context.priceFile,
    range:
      tally.decisions === 0
        ? null
        : { first: isoOf(tally.firstMs), last: isoOf(tally.lastMs), days: Number((lengthMs / DAY_MS).toFixed(3)) },
    sample,
    org: context.org ?? null,
    decisions: {
      total: tally.decisions,
      allowed: { before: tally.allowedBefore, after: tally.allowedAfter },
      touched: tally.touched,
      failed: { before: total(tally.failedBefore), after: total(tally.failedAfter) },
      completed: tally.completed,
      added: listed(tally.added),
      unfit: listed(tally.unfit),
      reused: tally.reused,
      proved: tally.proved,
      unproved: tally.unproved,
      unproved_example: tally.unprovedExample?.id ?? null,
      other_bundles: listed(tally.otherBundles),
      under_way: tally.underWay,
      was_limited: tally.wasLimited,
    },
    failures: { before: listed(tally.failedBefore), after: listed(tally.failedAfter) },
    facets: Object.fromEntries(
      FACETS.flatMap((facet) => (tally.byFacet.has(facet) ? [[facet, tally.byFacet.get(facet)!]] : [])),
    ),
    changes: changesOf(
      tally,
      (id) => name(id, before),
      (id) => name(id, after),
    ),
    who: whoOf(tally),
    cost: costOf(tally, context.pricesAfter, lengthMs, sample),
    limits: limits ? limitsOf(limits) : null,
    rules: {
      never_fired: Object.keys(rulesOf(after))
        .filter((id) => !tally.rulesAfter.has(id) && !id.startsWith(CONTROL_PLANE))
        .sort()
        .map((id) => name(id, after)),
      only_before: listed(tally.rulesBefore).flatMap(({ name: id, count }) =>
        tally.rulesAfter.has(id) ? [] : [{ ...name(id, before), count }],
      ),
      only_after: listed(tally.rulesAfter).flatMap(({ name: id, count }) =>
        tally.rulesBefore.has(id) ? [] : [{ ...name(id, after), count }],
      ),
    },
  };
};

const isoOf = (ms: number): string => new Date(ms).toISOString();

const bundleOf = ({ manifest, digest }: ReportContext['before']): ReportedBundle => ({
  revision: manifest.revision,
  digest,
  sequence: manifest.metadata.aegis.sequence,
});

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Most frequent first. */
const listed = (counts: Counts): Counted[] =>
  [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count || byText(a.name, b.name));

type Name = (id: string) => NamedRule;

const changesOf = ({ changes }: Tally, nameBefore: Name, nameAfter: Name): ReportedChange[] =>
  [...changes.values()]
    .sort(
      (a, b) =>
        FACETS.indexOf(a.facet) - FACETS.indexOf(b.facet) ||
        b.count - a.count ||
        byText(a.before, b.before) ||
        byText(a.after, b.after),
    )
    .map(({ facet, before, after, count, used, costBefore, costAfter, example }) => ({
      facet,
      before,
      after,
      count,
      used,
      cost_before_micro_usd: costBefore,
      cost_after_micro_usd: costAfter,
      example: { ...example, before: shown(example.before, nameBefore), after: shown(example.after, nameAfter) },
    }));

const shown = (decision: Example['before'], name: Name): ReportedDecision =>
  decision ? { ...decision, rules: decision.rules.map(name) } : { allow: null, codes: [], route: [], rules: [] };

const whoOf = ({ who }: Tally): ReplayReport['who'] => {
  const of = (dimension: Dimension): ReplayReport['who'][Dimension] => {
    const touched = [...who[dimension]].filter(([, share]) => share.touched > 0);
    const top = touched.sort(([a, one], [b, other]) => other.touched - one.touched || byText(a, b)).slice(0, TOP);
    return { touched: touched.length, top: top.map(([name, share]) => touchedOf(name, share)) };
  };
  return Object.fromEntries(DIMENSIONS.map((dimension) => [dimension, of(dimension)])) as ReplayReport['who'];
};

const touchedOf = (name: string, { requests, touched, newlyDenied }: Share): Touched => ({
  name,
  requests,
  touched,
  newly_denied: newlyDenied,
});

const costOf = (tally: Tally, prices: PriceTable, lengthMs: number, sample: number): ReplayReport['cost'] => ({
  requests: tally.used,
  fell_back: tally.fellBack,
  estimated: tally.estimated,
  unpriced: listed(tally.unpriced),
  recorded_micro_usd: tally.recordedMicroUsd,
  before_micro_usd: tally.money.before,
  after_micro_usd: tally.money.after,
  newly_denied_micro_usd: newlyDeniedOf(tally),
  month_factor: lengthMs < SHORTEST_MS ? null : (MONTH_DAYS * DAY_MS) / lengthMs / sample,
  by_org: moneyOf(tally.moneyByOrg),
  by_model: moneyOf(tally.moneyByModel),
  newly_allowed: newlyAllowedOf(tally, prices),
});

const newlyDeniedOf = ({ changes }: Tally): number =>
  [...changes.values()]
    .filter(({ facet }) => facet === 'denied' || facet === 'failed')
    .reduce((sum, { costBefore }) => sum + costBefore, 0);

/** Where the difference is largest first, then what costs most. */
const moneyOf = (money: ReadonlyMap<string, Money>): Costs[] =>
  [...money]
    .map(([name, { requests, before, after }]) => ({
      name,
      requests,
      before_micro_usd: before,
      after_micro_usd: after,
    }))
    .sort((a, b) => moved(b) - moved(a) || b.before_micro_usd - a.before_micro_usd || byText(a.name, b.name));

const moved = ({ before_micro_usd, after_micro_usd }: Costs): number => Math.abs(after_micro_usd - before_micro_usd);

/** Output as long as the model's mean answer to that workflow, else to any. */
const newlyAllowedOf = (
  { newlyAllowed, answers }: Tally,
  prices: PriceTable,
): ReplayReport['cost']['newly_allowed'] => {
  const ofModel = new Map<string, { requests: number; outputTokens: number }>();
  for (const [key, { requests, outputTokens }] of answers) {
    const [model] = key.split('\n') as [string];
    const sum = ofModel.get(model) ?? { requests: 0, outputTokens: 0 };
    ofModel.set(model, { requests: sum.requests + requests, outputTokens: sum.outputTokens + outputTokens });
  }
  let [all, microUsd, unknown] = [0, 0, 0];
  for (const [key, { requests, promptMicroUsd }] of newlyAllowed) {
    const [model] = key.split('\n') as [string];
    const usual = answers.get(key) ?? ofModel.get(model);
    all += requests;
    microUsd += promptMicroUsd;
    if (usual) microUsd += outputCost(prices, model, Math.round((usual.outputTokens / usual.requests) * requests));
    else unknown += requests;
  }
  return { requests: all, micro_usd: microUsd, unknown_output: unknown };
};

const limitsOf = (effect: LimitEffect): ReplayReport['limits'] => ({
  asked: { before: effect.askedBefore, after: effect.askedAfter },
  refused: [...new Set([...effect.refusedBefore.keys(), ...effect.refusedAfter.keys()])].sort().map((limit) => ({
    limit,
    before: effect.refusedBefore.get(limit) ?? 0,
    after: effect.refusedAfter.get(limit) ?? 0,
  })),
  newly_refused: effect.newlyRefused,
  no_longer_refused: effect.noLongerRefused,
});

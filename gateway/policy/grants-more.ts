import { isDeepStrictEqual } from 'node:util';
import { createPriceTable, type PriceTable } from '../prices.ts';
import type { Decision, Input, PolicyData } from '../types.gen.ts';

/** A part of the decision that grants more, and how. */
export interface Grant {
  part: string;
  how: string;
}

/** What is decided of an input as it is. */
export interface Whole {
  readonly input: Input;
  /** Undefined when there was no decision. */
  readonly decision: Decision | undefined;
  /** Models that the policies list for the caller of this input. */
  readonly models: () => readonly string[];
}

/** What a decision on less of an input grants beyond the one on the whole; empty when it is the same or stricter. */
export type GrantsMore = (some: Decision, whole: Whole) => Grant[];

/**
 * Compares decisions by what they let through, for policies of any data. Another model is no more when it costs no more for
 * this request, by its upper bound, and goes where the caller's requests may go anyway: to the upstream of a candidate, to
 * one that is no third party, or to the only one of a model that the policies list for this caller. A model without a price
 * is more, unless it was a candidate itself.
 */
export const createGrantsMore = (data: PolicyData): GrantsMore => {
  const prices = createPriceTable(data, '');
  return (some, whole) => {
    const { decision } = whole;
    if (!some.allow) return [];
    if (!decision?.allow) return [{ part: 'allow', how: 'allowed, though not with it' }];
    return [
      ...otherCandidates(some, decision, whole, data, prices),
      ...largerOutput(some, decision),
      ...otherMirror(some, decision),
      ...decision.tools.remove
        .filter((tool) => !some.tools.remove.includes(tool))
        .map((tool) => ({ part: 'tools', how: `the tool ${tool} is not removed` })),
      ...decision.redact
        .filter((rule) => !isRedacted(rule, some.redact))
        .map((rule) => lessRedacted(rule, some.redact)),
      ...decision.rate.limits
        .filter((limit) => !some.rate.limits.some((other) => isAsStrict(other, limit)))
        .filter((limit) => !isOfGoneModel(limit, some, decision))
        .map(({ scope, subject }) => ({ part: 'limits', how: `the limit of ${scope} ${subject} is gone or wider` })),
      ...decision.budgets
        .filter((budget) => !some.budgets.some((other) => isAsTight(other, budget)))
        .map(({ scope, subject }) => ({ part: 'budgets', how: `the budget of ${scope} ${subject} is gone or larger` })),
      ...((some.acting_for ?? null) === (decision.acting_for ?? null)
        ? []
        : [
            {
              part: 'acting_for',
              how: `acts for ${some.acting_for ?? 'itself'}, not ${decision.acting_for ?? 'itself'}`,
            },
          ]),
      // Keeping more is as wrong as keeping less.
      ...(isDeepStrictEqual(some.audit, decision.audit)
        ? []
        : [{ part: 'audit', how: `the audit keeps ${keeps(some)} instead of ${keeps(decision)}` }]),
    ];
  };
};

const otherCandidates = (
  some: Decision,
  decision: Decision,
  { input, models }: Whole,
  data: PolicyData,
  prices: PriceTable,
): Grant[] => {
  const known = decision.route.candidates;
  const bound = (names: readonly string[]): number =>
    prices.upperBound({
      models: names,
      inputTokensMax: Math.max(1, input.content.tokens_estimate),
      outputTokensMax: decision.parameters.max_output_tokens ?? 1000,
    });
  const priced = known.map(({ model }) => model).filter((model) => prices.has(model));
  const most = priced.length === 0 ? -1 : bound(priced);
  const isOpenAnyway = (model: string, upstream: string): boolean =>
    known.some((candidate) => candidate.upstream === upstream) ||
    input.upstreams[upstream]?.third_party === false ||
    (models().includes(model) && Object.keys(data.models[model]?.upstreams ?? {}).length === 1);
  return some.route.candidates.flatMap(({ model, upstream }): Grant[] => {
    if (known.some((candidate) => candidate.model === model && candidate.upstream === upstream)) return [];
    if (!isOpenAnyway(model, upstream)) {
      return [{ part: 'candidates', how: `${model} at ${upstream}, a third party that this request does not go to` }];
    }
    if (known.some((candidate) => candidate.model === model)) return [];
    if (!prices.has(model)) return [{ part: 'candidates', how: `${model}, which was no candidate and has no price` }];
    return bound([model]) > most ? [{ part: 'candidates', how: `${model}, dearer than every candidate with it` }] : [];
  });
};

/** A limit on one model says nothing where another is tried first: limits are taken before it is known which answers. */
const isOfGoneModel = ({ scope, subject }: Limit, some: Decision, whole: Decision): boolean => {
  const isFirst = ({ route }: Decision): boolean => subject.includes(route.candidates[0]?.model ?? '\n');
  return scope === 'model' && isFirst(whole) && !isFirst(some);
};

const largerOutput = (some: Decision, whole: Decision): Grant[] => {
  const [cap, before] = [some.parameters.max_output_tokens, whole.parameters.max_output_tokens];
  if (before === undefined || (cap !== undefined && cap <= before)) return [];
  return [{ part: 'max_output_tokens', how: `${cap ?? 'no cap on'} output tokens instead of ${before}` }];
};

/** A mirror sends the request to one upstream more, and spends. */
const otherMirror = (some: Decision, whole: Decision): Grant[] => {
  const { mirror } = some.route;
  if (mirror === null || isDeepStrictEqual(mirror, whole.route.mirror)) return [];
  return [{ part: 'mirror', how: `${mirror.model} at ${mirror.upstream} gets a copy, which it does not with it` }];
};

type RedactRule = Decision['redact'][number];

/** `block` lets less through than any other action, and `remove` than the rest; otherwise the action must be the same. */
const isRedacted = (rule: RedactRule, others: readonly RedactRule[]): boolean =>
  others.some(
    (other) =>
      other.entity === rule.entity &&
      rule.in.every((place) => other.in.includes(place)) &&
      other.restore.every((place) => rule.restore.includes(place)) &&
      (other.action === rule.action ||
        other.action === 'block' ||
        (other.action === 'remove' && rule.action !== 'block')),
  );

const lessRedacted = (rule: RedactRule, others: readonly RedactRule[]): Grant => {
  const other = others.find(({ entity }) => entity === rule.entity);
  const instead =
    other === undefined ? '' : ` but ${other.action}, restored in ${other.restore.join(', ') || 'nothing'}`;
  return { part: 'redact', how: `${rule.entity} is not redacted by ${rule.action}${instead}` };
};

type Limit = Decision['rate']['limits'][number];
type Budget = Decision['budgets'][number];
const MEASURES = ['requests_per_minute', 'tokens_per_minute', 'concurrent'] as const;

const isAsStrict = (other: Limit, limit: Limit): boolean =>
  other.scope === limit.scope &&
  other.subject === limit.subject &&
  MEASURES.every((measure) => (other[measure] ?? Infinity) <= (limit[measure] ?? Infinity));

const isAsTight = (other: Budget, budget: Budget): boolean =>
  other.scope === budget.scope &&
  other.subject === budget.subject &&
  other.period === budget.period &&
  other.timezone === budget.timezone &&
  other.micro_usd <= budget.micro_usd;

const keeps = ({ audit }: Decision): string => `${audit.content} content for ${audit.retention_days} days`;

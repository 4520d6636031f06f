import { weighedFor } from '../complexity.ts';
import type { MeteredPolicy } from '../policy/engine.ts';
import { firstError, isInput } from '../policy/shapes.ts';
import type { PriceTable } from '../prices.ts';
import { totalTokens } from '../stages/account.ts';
import type { AuditIntent, AuditOutcome, Decision, Input, PolicyData } from '../types.gen.ts';
import { differencesOf } from './compare.ts';
import { completeInput } from './complete-input.ts';
import type { DecisionRange } from './decision-source.ts';
import { AS_TAKEN, NO_LIST, type Opening, ROW, type RowBatch, SETTLE, spendKey, TAKE } from './limit-rows.ts';
import { boundOf, firstModel, promptCost, usageCost } from './pricing.ts';
import { type DecidedRecord, decidedRecordOf, type Verdict, verdictOf } from './re-decide.ts';
import { idHash } from './record-head.ts';
import { isSameJson } from './same-json.ts';
import {
  type Change,
  type Counts,
  count,
  DIMENSIONS,
  type Dimension,
  type Example,
  entryOf,
  newTally,
  shownOf,
  smaller,
  type Tally,
} from './tally.ts';

/** An intent whose outcome has not come by then, in the time of the log, counts as under way. */
const OUTCOME_WITHIN_MS = 3_600_000;
/** Providers count more tokens than the estimate: as gateway/stages/admit.ts reserves them. */
const RATE_MARGIN = 1.35;
/** Of the decisions that are taken from the record, one in so many is made again and compared. */
const PROVED_ONE_IN = 64;

/** One side of the comparison. */
export interface Side {
  readonly policy: Pick<MeteredPolicy, 'decide' | 'ref'>;
  readonly data: PolicyData;
  readonly prices: PriceTable;
}

/** What a replayer is made from. */
export interface ReplayerOptions {
  readonly before: Side;
  readonly after: Side;
  /** Both sides decide the same, and only prices differ: nothing is decided twice. */
  readonly isSamePolicy: boolean;
  /** Never takes a serving decision from the record. */
  readonly reExecute: boolean;
  readonly range: DecisionRange;
  /** Of one organisation. */
  readonly org: string | undefined;
  /** Whether rows for the limits are wanted. */
  readonly withLimits: boolean;
}

/** A decided request whose outcome has not come yet: what it takes to count it. */
interface Pending {
  readonly index: number;
  readonly timeMs: number;
  readonly org: string;
  readonly workflow: string;
  readonly modelBefore: string | undefined;
  readonly modelAfter: string | undefined;
  readonly changes: readonly Change[];
  readonly isNewlyAllowed: boolean;
  readonly promptTokens: number;
}

/**
 * Decides raw records under both sides and counts what differs. Records come in the order of the log, all of one
 * decision to one replayer.
 */
export class Replayer {
  readonly tally: Tally = newTally();
  readonly #options: ReplayerOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #lists = new Map<string, number>();
  readonly #spends = new Set<string>();
  #rows: number[] = [];
  #newLists: string[] = [];
  #openings: Opening[] = [];

  constructor(options: ReplayerOptions) {
    this.#options = options;
  }

  /** Counts one record. `index` is its place among all that are replayed. */
  add(payload: string, index: number): void {
    const record = JSON.parse(payload) as AuditIntent | AuditOutcome;
    const decided = decidedRecordOf(record);
    let pending: Pending | undefined;
    if (decided) pending = this.#decide(decided, index);
    if (record.kind === 'intent') {
      if (pending) this.#pending.set(record.id, pending);
      return;
    }
    if (!decided && record.id !== null) {
      pending = this.#pending.get(record.id);
      this.#pending.delete(record.id);
    }
    if (pending) this.#end(pending, record, index);
  }

  /** Gives up intents that have waited too long at this moment of the log; `index` is that of the next record. */
  expire(nowMs: number, index: number): void {
    for (const [id, pending] of this.#pending) {
      if (pending.timeMs > nowMs - OUTCOME_WITHIN_MS) continue;
      this.#pending.delete(id);
      this.tally.underWay++;
      this.#row(index - 0.5, SETTLE, pending.index, AS_TAKEN, AS_TAKEN, AS_TAKEN, 0, 0);
    }
  }

  /** Counts what is left without an outcome at the end of the log. */
  finish(): Tally {
    this.tally.underWay += this.#pending.size;
    this.#pending.clear();
    return this.tally;
  }

  /** The rows since the last call, for the simulation of limits. */
  takeRows(): RowBatch {
    const batch = { rows: Float64Array.from(this.#rows), lists: this.#newLists, openings: this.#openings };
    this.#rows = [];
    this.#newLists = [];
    this.#openings = [];
    return batch;
  }

  #decide(record: DecidedRecord, index: number): Pending | undefined {
    const { tally } = this;
    const options = this.#options;
    const { input, added } = completeInput(record.input);
    if (!isInput(input)) {
      count(tally.unfit, firstError(isInput));
      return undefined;
    }
    const timeMs = Date.parse(input.request.time);
    const { sinceMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY } = options.range;
    if (!(timeMs >= sinceMs && timeMs < untilMs)) return undefined;
    if (options.org !== undefined && input.caller.org !== options.org) return undefined;
    tally.decisions++;
    tally.firstMs = Math.min(tally.firstMs, timeMs);
    tally.lastMs = Math.max(tally.lastMs, timeMs);
    if (added.length > 0) {
      tally.completed++;
      for (const name of new Set(added.map((path) => path.replace(/^upstreams\.[^.]*\./, 'upstreams.*.')))) {
        count(tally.added, name);
      }
    }
    const before = this.#verdictBefore(record, input, added.length > 0);
    const after = options.isSamePolicy ? before : verdictBy(options.after, input);
    return this.#compare(record, input, before, after, { index, timeMs });
  }

  /** The serving bundle's: from the record where that very bundle made it, of which some are made again as a proof. */
  #verdictBefore(record: DecidedRecord, input: Input, isCompleted: boolean): Verdict {
    const { tally } = this;
    const { reExecute, before } = this.#options;
    if (record.bundle.digest !== before.policy.ref.digest) {
      count(tally.otherBundles, record.bundle.revision);
      return verdictBy(before, input);
    }
    const isProof = reExecute || idHash(record.id) % PROVED_ONE_IN === 0;
    if (!isCompleted && !isProof) {
      tally.reused++;
      return { decision: record.decision };
    }
    const verdict = verdictOf(before.policy, input);
    if (isCompleted) return verdict;
    tally.proved++;
    if ('failure' in verdict || !isSameJson(verdict.decision, record.decision)) {
      tally.unproved++;
      const example = exampleOf(record.id, input, { decision: record.decision }, verdict);
      tally.unprovedExample = tally.unprovedExample ? smaller(tally.unprovedExample, example) : example;
    }
    return verdict;
  }

  #compare(
    record: DecidedRecord,
    input: Input,
    before: Verdict,
    after: Verdict,
    at: { readonly index: number; readonly timeMs: number },
  ): Pending {
    const { tally } = this;
    const [one, other] = [decisionOf(before), decisionOf(after)];
    if (one?.allow) tally.allowedBefore++;
    if (other?.allow) tally.allowedAfter++;
    for (const rule of one?.rules ?? []) count(tally.rulesBefore, rule);
    for (const rule of other?.rules ?? []) count(tally.rulesAfter, rule);
    if ('failure' in before) count(tally.failedBefore, before.failure);
    if ('failure' in after) count(tally.failedAfter, after.failure);
    const changes = before === after ? [] : this.#changes(record.id, input, before, after);
    const isTouched = changes.some(({ facet }) => facet !== 'wording');
    if (isTouched) tally.touched++;
    for (const facet of new Set(changes.map((change) => change.facet))) count(tally.byFacet, facet);
    const isNewlyDenied = one?.allow === true && other?.allow !== true;
    this.#share(input, other ?? one, isTouched, isNewlyDenied);
    if (this.#options.withLimits) this.#takeRow(input, one, other, at);
    return {
      ...at,
      org: input.caller.org,
      workflow: input.purpose.workflow,
      modelBefore: firstModel(one),
      modelAfter: firstModel(other),
      changes,
      isNewlyAllowed: other?.allow === true && one?.allow !== true,
      promptTokens: input.content.tokens_estimate,
    };
  }

  #changes(id: string, input: Input, before: Verdict, after: Verdict): Change[] {
    const differences = differencesOf(before, after);
    if (differences.length === 0) return [];
    const example = exampleOf(id, input, before, after);
    return differences.map(({ facet, before: one, after: other }) => {
      const change = entryOf(
        this.tally.changes,
        `${facet}\n${one}\n${other}`,
        (): Change => ({ facet, before: one, after: other, count: 0, used: 0, costBefore: 0, costAfter: 0, example }),
      );
      change.count++;
      change.example = smaller(change.example, example);
      return change;
    });
  }

  #share(input: Input, decision: Decision | undefined, isTouched: boolean, isNewlyDenied: boolean): void {
    const { org, team, user } = input.caller;
    const person = decision?.acting_for || user;
    const names: Record<Dimension, string> = {
      org,
      team: team === '' ? '' : `${org}/${team}`,
      user: person === '' ? '' : `${org}/${person}`,
      workflow: input.purpose.workflow,
    };
    for (const dimension of DIMENSIONS) {
      const share = entryOf(this.tally.who[dimension], names[dimension], () => ({
        requests: 0,
        touched: 0,
        newlyDenied: 0,
      }));
      share.requests++;
      if (isTouched) share.touched++;
      if (isNewlyDenied) share.newlyDenied++;
    }
  }

  #end(pending: Pending, { usage, cost, model, outcome }: AuditOutcome, index: number): void {
    const { tally } = this;
    const { before, after } = this.#options;
    if (outcome === 'limited') tally.wasLimited++;
    let costs: [number, number] | undefined;
    if (usage) {
      const one = usageCost(before.prices, pending.modelBefore, usage);
      const other = usageCost(after.prices, pending.modelAfter, usage);
      if (one === undefined) count(tally.unpriced, pending.modelBefore as string);
      if (other === undefined && one !== undefined) count(tally.unpriced, pending.modelAfter as string);
      if (one !== undefined && other !== undefined) costs = [one, other];
      if (model !== null) {
        const answers = entryOf(tally.answers, answersKey(model, pending.workflow), () => ({
          requests: 0,
          outputTokens: 0,
        }));
        answers.requests++;
        answers.outputTokens += usage.output + usage.reasoning;
        if (pending.modelBefore !== undefined && model !== pending.modelBefore) tally.fellBack++;
      }
      if (usage.source === 'estimated') tally.estimated++;
      tally.used++;
      tally.recordedMicroUsd += cost.micro_usd;
      if (costs) this.#pay(pending, costs);
    } else if (pending.isNewlyAllowed && pending.modelAfter !== undefined) {
      const entry = entryOf(tally.newlyAllowed, answersKey(pending.modelAfter, pending.workflow), () => ({
        requests: 0,
        promptMicroUsd: 0,
      }));
      entry.requests++;
      entry.promptMicroUsd += promptCost(after.prices, pending.modelAfter, pending.promptTokens);
    }
    this.#settleRow(pending, usage ? totalTokens(usage) : AS_TAKEN, costs, index);
  }

  #pay(pending: Pending, [one, other]: readonly [number, number]): void {
    const { money, moneyByOrg, moneyByModel } = this.tally;
    const add = (to: { requests: number; before: number; after: number }, before: number, after: number): void => {
      to.requests++;
      to.before += before;
      to.after += after;
    };
    const empty = (): typeof money => ({ requests: 0, before: 0, after: 0 });
    add(money, one, other);
    add(entryOf(moneyByOrg, pending.org, empty), one, other);
    const { modelBefore, modelAfter } = pending;
    if (modelBefore === modelAfter) {
      if (modelBefore !== undefined) add(entryOf(moneyByModel, modelBefore, empty), one, other);
    } else {
      if (modelBefore !== undefined) add(entryOf(moneyByModel, modelBefore, empty), one, 0);
      if (modelAfter !== undefined) add(entryOf(moneyByModel, modelAfter, empty), 0, other);
    }
    for (const change of pending.changes) {
      change.used++;
      change.costBefore += one;
      change.costAfter += other;
    }
  }

  #takeRow(
    input: Input,
    one: Decision | undefined,
    other: Decision | undefined,
    at: { index: number; timeMs: number },
  ): void {
    const { before, after } = this.#options;
    const listBefore = one?.allow ? this.#listOf(one) : NO_LIST;
    const listAfter = other?.allow ? this.#listOf(other) : NO_LIST;
    const tokens = Math.ceil(input.content.tokens_estimate * RATE_MARGIN);
    const boundBefore = one?.allow ? boundOf(one, input, before.data, before.prices) : 0;
    const boundAfter = other?.allow ? boundOf(other, input, after.data, after.prices) : 0;
    for (const { scope, subject, period, micro_usd } of input.spend) {
      const key = spendKey(scope, subject, period);
      if (this.#spends.has(key)) continue;
      this.#spends.add(key);
      this.#openings.push({ index: at.index, key, microUsd: micro_usd });
    }
    this.#row(at.index, TAKE, at.timeMs, listBefore, listAfter, tokens, boundBefore, boundAfter);
  }

  #settleRow(pending: Pending, tokens: number, costs: [number, number] | undefined, index: number): void {
    if (!this.#options.withLimits) return;
    const { after, before } = this.#options;
    // Without usage nothing was billed, or nobody knows what it would have been: the prompt alone is charged.
    const prompt = (side: Side, model: string | undefined): number =>
      model === undefined ? 0 : promptCost(side.prices, model, pending.promptTokens);
    const [one, other] = costs ?? [prompt(before, pending.modelBefore), prompt(after, pending.modelAfter)];
    this.#row(index, SETTLE, pending.index, tokens, one, other, 0, 0);
  }

  #listOf({ rate: { limits }, budgets }: Decision): number {
    const json = JSON.stringify({ limits, budgets });
    const known = this.#lists.get(json);
    if (known !== undefined) return known;
    this.#newLists.push(json);
    this.#lists.set(json, this.#lists.size);
    return this.#lists.size - 1;
  }

  #row(...row: [number, number, number, number, number, number, number, number]): void {
    if (this.#options.withLimits && row.length === ROW) this.#rows.push(...row);
  }
}

const decisionOf = (verdict: Verdict): Decision | undefined => ('decision' in verdict ? verdict.decision : undefined);

/** Answers and newly allowed requests are counted by model and workflow. */
export const answersKey = (model: string, workflow: string): string => `${model}\n${workflow}`;

/** What a side says of an input that another bundle may have been asked. */
const verdictBy = ({ policy, data }: Side, input: Input): Verdict =>
  verdictOf(policy, weighedFor(input, data.complexity));

const exampleOf = (id: string, input: Input, before: Verdict, after: Verdict): Example => {
  const { caller, purpose, request } = input;
  const [one, other] = [decisionOf(before), decisionOf(after)];
  return {
    id,
    time: request.time,
    caller: { id: caller.id, org: caller.org, team: caller.team, user: caller.user, roles: caller.roles },
    purpose: { workflow: purpose.workflow, use_case: purpose.use_case },
    endpoint: request.endpoint,
    model: request.model,
    bytes: Buffer.byteLength(JSON.stringify(input)),
    before: one ? shownOf(one) : null,
    after: other ? shownOf(other) : null,
  };
};

/** How often something was counted, summed. */
export const total = (counts: Counts): number => [...counts.values()].reduce((sum, by) => sum + by, 0);

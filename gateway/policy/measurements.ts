import { weighedFor } from '../complexity.ts';
import { createPriceTable, type PriceTable } from '../prices.ts';
import type { Decision, Input, Usage } from '../types.gen.ts';
import { sha256 } from './bundle.ts';
import { type Difference, differenceOf } from './compare-decisions.ts';
import { createComparisonQueue } from './comparison-queue.ts';
import type { EndedRequest, Policy } from './policy.ts';
import { addEvaluation, addExample, addPolicyErrorCaller, type Tally } from './readings.ts';
import { createReadingsWindow } from './readings-window.ts';
import type { Guards } from './rollout-plan.ts';
import type { Readings, RolloutStage } from './rollout-state.ts';

/** What comparing two decisions came to. */
export type ComparedKind = Difference | 'policy_error';

/** What is measured of a candidate beside stable. */
export interface MeasuredCandidate {
  readonly policy: Policy;
  readonly stage: RolloutStage;
  readonly guards: Guards;
  readonly compareCpuShare: number;
}

export interface MeasurementsOptions {
  readonly stable: Policy;
  /** Null without a rollout: then only the requests under stable are counted. */
  readonly candidate: MeasuredCandidate | null;
  readonly windowMs: number;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly onCompared: (kind: ComparedKind | 'skipped') => void;
}

/** The measurements of one stage. */
export interface Measurements {
  /** Counts a request, and lets the other bundle decide it too, later. Returns at once, never throws. */
  observe(ended: EndedRequest): void;
  /** Of the window. */
  readings(): Readings;
  close(): void;
}

/** Endpoints on which no model answers. */
const WITHOUT_MODEL: ReadonlySet<string> = new Set(['models', 'feedback', 'messages.count_tokens']);
/** An evaluation that fails costs more than its time: a new instance of the module is made afterwards, milliseconds. */
const RENEWAL_MS = 20;

/** Starts measuring. */
export const createMeasurements = (options: MeasurementsOptions): Measurements => {
  const { stable, candidate, onCompared } = options;
  const window = createReadingsWindow(options.windowMs, options.clock);
  const compare = candidate && createComparing(stable, candidate, () => window.now(), onCompared);
  const queue =
    candidate &&
    createComparisonQueue<EndedRequest>({
      cpuShare: candidate.compareCpuShare,
      run: (ended) => compare?.(ended) ?? 0,
      onSkipped: () => {
        window.now().compared.skipped++;
        onCompared('skipped');
      },
    });
  const isCandidate = (policy: Policy): boolean => policy.ref.digest === candidate?.policy.ref.digest;
  return {
    observe(ended) {
      const isByCandidate = isCandidate(ended.policy);
      // Decided by a bundle of before: it says nothing of these two.
      if (!isByCandidate && ended.policy.ref.digest !== stable.ref.digest) return;
      count(window.now(), ended, isByCandidate, candidate);
      queue?.offer(ended, isByCandidate && ended.decision === undefined);
    },
    readings: () => window.sum(),
    close: () => queue?.close(),
  };
};

const count = (
  tally: Tally,
  ended: EndedRequest,
  isByCandidate: boolean,
  candidate: MeasuredCandidate | null,
): void => {
  const { decision, outcome, decisionId } = ended;
  const arm = isByCandidate ? tally.candidate : tally.stable;
  arm.requests++;
  arm.costMicroUsd += ended.costMicroUsd;
  if (decision && isByCandidate) {
    addEvaluation(tally, ended.evaluationMs);
    if (candidate && ended.evaluationMs > (candidate.guards.maxEvaluationP99Ms ?? Infinity)) {
      addExample(tally, 'slow', decisionId);
    }
  }
  if (!decision) return;
  if (!decision.allow) arm.denied++;
  else if (!WITHOUT_MODEL.has(ended.input.request.endpoint)) {
    const isBroken = outcome === 'failed' || outcome === 'incomplete';
    if (outcome !== 'ok' && !isBroken) return;
    arm.answers++;
    if (isBroken) arm.errors++;
    if (ended.isFallback) arm.fallbacks++;
    if (isByCandidate && isBroken) addExample(tally, 'failed', decisionId);
    if (isByCandidate && ended.isFallback) addExample(tally, 'fallback', decisionId);
  }
};

/** Decides a request by the other bundle and books what differs; gives what to book on the processor beside the time. */
const createComparing = (
  stable: Policy,
  candidate: MeasuredCandidate,
  tally: () => Tally,
  onCompared: (kind: ComparedKind) => void,
): ((ended: EndedRequest) => number) => {
  const prices = pricesOf(stable, candidate.policy);
  return (ended) => {
    const isByCandidate = ended.policy.ref.digest === candidate.policy.ref.digest;
    if (!isByCandidate && ended.decision === undefined) return 0; // nothing to hold against the candidate
    const other = attempt(isByCandidate ? stable : candidate.policy, ended.input);
    const now = tally();
    const kind = isByCandidate ? kindOf(other.decision, ended.decision) : kindOf(ended.decision, other.decision);
    if (candidate.stage === 'shadow' && other.decision) {
      addEvaluation(now, other.ms);
      if (other.ms > (candidate.guards.maxEvaluationP99Ms ?? Infinity)) addExample(now, 'slow', ended.decisionId);
    }
    if (kind !== undefined) {
      book(now, kind, ended, isByCandidate || candidate.stage === 'shadow');
      onCompared(kind);
    }
    const [ours, theirs] = isByCandidate ? [ended.decision, other.decision] : [other.decision, ended.decision];
    if (ours?.allow && theirs?.allow && ended.usage) bookCost(now, prices, theirs, ours, ended.usage, ended.decisionId);
    return other.decision ? 0 : RENEWAL_MS;
  };
};

/** What the two said; undefined where stable cannot decide either. */
const kindOf = (stable: Decision | undefined, candidate: Decision | undefined): ComparedKind | undefined => {
  if (!stable) return undefined;
  return candidate ? differenceOf(stable, candidate) : 'policy_error';
};

/** `isTelling`: whether who looks the decision up sees what the candidate did, or in shadow that it did nothing. */
const book = (tally: Tally, kind: ComparedKind, { decisionId, input }: EndedRequest, isTelling: boolean): void => {
  const { compared } = tally;
  if (kind === 'policy_error') {
    compared.policyErrors++;
    // One example a caller: the others would be the same.
    if (addPolicyErrorCaller(tally, callerDigest(input))) addExample(tally, kind, decisionId);
    return;
  }
  compared.compared++;
  if (kind === 'newly_denied') compared.newlyDenied++;
  else if (kind === 'newly_allowed') compared.newlyAllowed++;
  else if (kind === 'model_moved') compared.modelMoved++;
  else if (kind === 'otherwise') compared.otherwise++;
  if (kind !== 'same') addExample(tally, isTelling ? kind : byStable(kind), decisionId);
};

/** The kind of examples that stable decided while the candidate decided others: they are shown when there are no better ones. */
export const byStable = (kind: string): string => `${kind}_by_stable`;

/** A person with several keys is one caller. */
const callerDigest = ({ caller: { org, user, id } }: Input): string =>
  sha256(user === '' ? `credential ${id}` : `user ${org} ${user}`).slice(0, 12);

interface BothPrices {
  readonly stable: PriceTable;
  readonly candidate: PriceTable;
}

const pricesOf = (stable: Policy, candidate: Policy): BothPrices => ({
  stable: createPriceTable(stable.data, stable.ref.revision),
  candidate: createPriceTable(candidate.data, candidate.ref.revision),
});

/** What the tokens cost at the model that each bundle asks first. A model without prices is not asked, so it costs nothing. */
const bookCost = (
  tally: Tally,
  prices: BothPrices,
  stable: Decision,
  candidate: Decision,
  usage: Usage,
  decisionId: string,
): void => {
  const [one, other] = [stable.route.candidates[0]?.model, candidate.route.candidates[0]?.model];
  if (one === undefined || other === undefined) return;
  if (!prices.stable.has(one) || !prices.candidate.has(other)) return;
  const [x, y] = [prices.stable.cost(one, usage), prices.candidate.cost(other, usage)];
  const { compared } = tally;
  compared.costed++;
  compared.stableCostMicroUsd += x;
  compared.candidateCostMicroUsd += y;
  compared.stableCostSquares += x * x;
  compared.candidateCostSquares += y * y;
  compared.costProducts += x * y;
  if (y > x) addExample(tally, 'dearer', decisionId);
};

const attempt = (policy: Policy, input: Input): { readonly decision: Decision | undefined; readonly ms: number } => {
  const started = performance.now();
  try {
    const decision = policy.decide(weighedFor(input, policy.data.complexity));
    return { decision, ms: performance.now() - started };
  } catch {
    return { decision: undefined, ms: performance.now() - started };
  }
};

import { GatewayError } from '../errors.ts';
import { createPriceTable } from '../prices.ts';
import type { AdminDecision, Decision, Input, PolicyData, PolicyExplanation } from '../types.gen.ts';
import { type Bundle, ENTRYPOINTS, EXPLAIN_ENTRYPOINT } from './bundle.ts';
import { createEvaluator, type Evaluator, type EvaluatorOptions } from './evaluator.ts';
import type { Policy } from './policy.ts';
import { checkPolicyData, firstError, isAdminDecision, isDecision, isPolicyExplanation } from './shapes.ts';
import { warmupInputs } from './warmup.ts';

const [DECISION, MODELS, ADMIN] = ENTRYPOINTS;
const MAX_MODELS = 512;
/** A new instance is settled after some hundred evaluations: the first takes 2.6 ms. */
const WARMUP_ROUNDS = 300;
/** Operations that ask no model. */
const MODELLESS: ReadonlySet<unknown> = new Set(['models', 'feedback']);

/** A policy whose evaluations are metered. */
export interface MeteredPolicy extends Policy {
  /** Steps that the last evaluation took: the same for the same input, on every machine. */
  readonly fuelUsed: number;
}

/**
 * Makes a bundle ready to decide: loads its module and data, and warms it up on synthesised inputs, whose decisions must
 * be well-formed. The caller has verified the signature. Refuses with an Error.
 */
export const createPolicy = async (bundle: Bundle, options: EvaluatorOptions = {}): Promise<MeteredPolicy> => {
  const data: unknown = bundle.data;
  checkPolicyData(data);
  createPriceTable(data, bundle.manifest.revision); // A price that no request could be counted with refuses the bundle.
  const evaluator = await createEvaluator(bundle.wasm, bundle.data, options);
  for (const entrypoint of ENTRYPOINTS) {
    if (!evaluator.entrypoints.includes(entrypoint)) throw new Error(`policy.wasm: no entrypoint ${entrypoint}`);
  }
  const upstreams = upstreamsOf(data);
  const names: Names = { upstreams, arms: armsOf(data) };
  const policy: MeteredPolicy = {
    ref: { digest: bundle.digest, revision: bundle.manifest.revision },
    manifest: bundle.manifest,
    data,
    get fuelUsed() {
      return evaluator.fuelUsed;
    },
    decide: (input) => checkDecision(evaluate(evaluator, input, DECISION), input, names),
    models: (input) => checkModels(evaluate(evaluator, input, MODELS), upstreams),
    admin: (input) => checkAdmin(evaluate(evaluator, input, ADMIN)),
    ...(evaluator.entrypoints.includes(EXPLAIN_ENTRYPOINT) && {
      explain: (input: Input) => checkExplanation(evaluate(evaluator, input, EXPLAIN_ENTRYPOINT)),
    }),
  };
  await warmUp(policy, bundle.data);
  return policy;
};

/** By model, the upstreams that serve it. */
type Upstreams = ReadonlyMap<string, ReadonlySet<string>>;

const upstreamsOf = (data: PolicyData): Upstreams =>
  new Map(Object.entries(data.models).map(([name, model]) => [name, new Set(Object.keys(model.upstreams))]));

/** What a decision may name: models with their upstreams, and experiments with their arms. */
interface Names {
  readonly upstreams: Upstreams;
  readonly arms: ReadonlyMap<string, ReadonlySet<string>>;
}

const armsOf = ({ experiments = {} }: PolicyData): Names['arms'] =>
  new Map(Object.entries(experiments).map(([id, { arms }]) => [id, new Set(Object.keys(arms))]));

const evaluate = (evaluator: Evaluator, input: Input, entrypoint: string): unknown => {
  try {
    return evaluator.evaluate(input, entrypoint);
  } catch (error) {
    throw unavailable(error);
  }
};

/** What any failure becomes: the caller learns no more than that there was no decision; the cause is for the log. */
const unavailable = (cause: unknown): GatewayError =>
  new GatewayError('policy_unavailable', 'The policy could not decide this request.', { cause });

const checkDecision = (result: unknown, input: Input, { upstreams, arms }: Names): Decision => {
  if (!isDecision(result)) throw unavailable(new Error(`the decision is malformed: ${firstError(isDecision)}`));
  const { candidates, mirror, experiment } = result.route;
  for (const { model, upstream } of mirror === null ? candidates : [...candidates, mirror]) {
    const serving = upstreams.get(model);
    if (serving === undefined) throw unavailable(new Error(`the decision names an unknown model ${quote(model)}`));
    if (!serving.has(upstream) || !Object.hasOwn(input.upstreams ?? {}, upstream)) {
      throw unavailable(
        new Error(`the decision names upstream ${quote(upstream)}, which does not serve ${quote(model)}`),
      );
    }
  }
  if (experiment !== null && !arms.get(experiment.id)?.has(experiment.arm)) {
    throw unavailable(
      new Error(`the decision names arm ${quote(experiment.arm)} of ${quote(experiment.id)}, which the data have not`),
    );
  }
  if (result.acting_for && result.acting_for !== input.request?.end_user?.name) {
    throw unavailable(new Error(`the decision acts for ${quote(result.acting_for)}, whom the request does not name`));
  }
  if (result.allow) {
    if (result.deny.length > 0) throw unavailable(new Error('the decision allows and denies'));
    if (result.route.candidates.length === 0 && !MODELLESS.has(input.request?.endpoint)) {
      throw unavailable(new Error('the decision allows and names no model'));
    }
  }
  return result;
};

const checkModels = (result: unknown, upstreams: Upstreams): string[] => {
  if (!Array.isArray(result) || result.length > MAX_MODELS) throw unavailable(new Error('the models are not a list'));
  for (const name of result) {
    if (typeof name !== 'string' || !upstreams.has(name)) {
      throw unavailable(new Error(`the models name an unknown model ${quote(name)}`));
    }
  }
  return [...new Set(result as string[])].sort();
};

const checkAdmin = (result: unknown): AdminDecision => {
  if (!isAdminDecision(result)) {
    throw unavailable(new Error(`the decision on administration is malformed: ${firstError(isAdminDecision)}`));
  }
  if (result.allow && result.deny.length > 0) {
    throw unavailable(new Error('the decision on administration allows and denies'));
  }
  return result;
};

const checkExplanation = (result: unknown): PolicyExplanation => {
  if (!isPolicyExplanation(result)) {
    throw unavailable(new Error(`the explanation is malformed: ${firstError(isPolicyExplanation)}`));
  }
  return result;
};

const quote = (value: unknown): string => JSON.stringify(value)?.slice(0, 160) ?? 'undefined';

const warmUp = async (policy: Policy, data: Bundle['data']): Promise<void> => {
  const inputs = warmupInputs(data);
  for (let round = 0; round < WARMUP_ROUNDS; round++) {
    const input = inputs[round % inputs.length] as Input;
    try {
      policy.decide(input);
      policy.models(input);
      policy.admin(input);
    } catch (error) {
      const cause = (error as { cause?: { message?: unknown } }).cause?.message ?? 'unknown';
      throw new Error(`policy.wasm: no valid decision for a valid input: ${String(cause)}`, { cause: error });
    }
    // The serving policy answers requests meanwhile.
    if (round % 25 === 24) await new Promise((resolve) => setImmediate(resolve));
  }
};

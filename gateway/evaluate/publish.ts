import { Document, isScalar, visit } from 'yaml';
import type { EvalResults, Measurement, Quality } from '../types.gen.ts';

/** How results become policy data. */
export interface PublishOptions {
  /** Digest that the suite's file and its tasks have now. */
  readonly suiteSha256: string;
  /** For how long rules may rely on them. */
  readonly validForMs: number;
  /** Fewer graded tasks of a model are refused. */
  readonly minSamples: number;
}

/** Results with which no policy should be made; the message says why and what to do. */
export class PublishError extends Error {
  override readonly name = 'PublishError';
}

/** Tasks of a model that may be without a score. What is missing is seldom missing by chance. */
const MOST_MISSING = 0.05;

/** What the results measured, by model. Throws PublishError when they are not whole, old, or too few. */
export const measurementsOf = (results: EvalResults, options: PublishOptions): Record<string, Measurement> => {
  const { suiteSha256, validForMs, minSamples } = options;
  if (results.suite_sha256 !== suiteSha256) {
    throw new PublishError(
      'the results are of another version of the suite or its tasks: run it again (./aegis eval run; what is answered is not asked again unless tasks or prompt changed)',
    );
  }
  if (!results.is_complete) {
    throw new PublishError(
      `the results are not complete: ${results.notes[0] ?? 'not every task has a result'} Run it again to go on`,
    );
  }
  const measured = results.began.slice(0, 10);
  const validUntil = new Date(Date.parse(results.began) + validForMs).toISOString().slice(0, 10);
  return Object.fromEntries(
    results.models.map(
      ({
        model,
        tasks,
        quality,
        usd_per_1000_tasks: usd,
        p50_ms: p50,
        graded,
        answers,
        unmarked,
      }): [string, Measurement] => {
        if (quality === null || usd === null) throw new PublishError(`${model} has no score`);
        if (graded < tasks * (1 - MOST_MISSING)) {
          throw new PublishError(
            `${model} has a score for ${graded} of ${tasks} tasks only: ask again what failed or was lost (--repeat-failed, --repeat-lost)`,
          );
        }
        // A task counts as graded by one of its repeats.
        const [scored, asked] = [answers - unmarked, tasks * results.repeats];
        if (scored < asked * (1 - MOST_MISSING)) {
          throw new PublishError(
            `${model} has a score for ${scored} of ${asked} answers only, repeats included: ask again what failed or was lost (--repeat-failed, --repeat-lost)`,
          );
        }
        const samples = results.compared_tasks;
        if (samples < minSamples) {
          throw new PublishError(
            `${model} was measured on ${samples} tasks, and at least ${minSamples} are wanted (--min-samples)`,
          );
        }
        const measurement = {
          quality: round(quality.estimate, 4),
          low: round(Math.max(0, quality.low), 4),
          high: round(Math.min(1, quality.high), 4),
          samples,
          usd_per_1000_tasks: round(usd, 6),
          ...(p50 === null ? {} : { p50_ms: Math.round(p50) }),
          measured,
          valid_until: validUntil,
          suite: results.suite,
          suite_sha256: results.suite_sha256,
        };
        return [model, measurement];
      },
    ),
  );
};

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

/** What the judges of results should be doubted for; a person's labels are the only measure of a judge. */
export const judgeWarnings = ({ judges }: EvalResults): string[] =>
  judges.flatMap(({ grader, model, agreement, order_decided }) => {
    const warnings: string[] = [];
    if (!agreement) warnings.push(`${grader}: ${model} was never compared with people (field \`human\`)`);
    else if (agreement.kappa === null || agreement.kappa < LEAST_KAPPA) {
      const kappa = agreement.kappa === null ? 'none' : agreement.kappa.toFixed(2);
      warnings.push(
        `${grader}: ${model} disagrees with people: kappa ${kappa} over ${agreement.marks} marks, less than ${LEAST_KAPPA}`,
      );
    }
    if (order_decided !== null && order_decided > MOST_ORDER_DECIDED) {
      warnings.push(`${grader}: in ${Math.round(order_decided * 100)} % of the pairs the order decided`);
    }
    return warnings;
  });

/** Below it agreement is called slight or fair: Landis and Koch (1977). */
const LEAST_KAPPA = 0.4;
const MOST_ORDER_DECIDED = 0.3;

const HEAD = ` What evaluations measured: kind of task → model → quality, interval, samples, cost, dates. Written by
 \`./aegis eval publish\`, never by hand. Rules rely on a row until its valid_until (docs/evaluation.md).`;

/** Models of a kind of task that other tasks measured: their figures cannot be held against these, so they go. */
export const replacedModels = (
  before: Quality,
  task: keyof Quality,
  measured: Record<string, Measurement>,
): string[] => {
  const suites = new Set(Object.values(measured).map(({ suite_sha256 }) => suite_sha256));
  return Object.entries(before[task] ?? {}).flatMap(([model, { suite_sha256 }]) =>
    Object.hasOwn(measured, model) || suites.has(suite_sha256) ? [] : [model],
  );
};

/** policies/quality/data.yaml with these measurements in it; other kinds of task stay, and other models that the same suite measured. */
export const qualityYaml = (before: Quality, task: keyof Quality, measured: Record<string, Measurement>): string => {
  const gone = new Set(replacedModels(before, task, measured));
  const kept = Object.entries(before[task] ?? {}).filter(([model]) => !gone.has(model));
  const after: Quality = { ...before, [task]: { ...Object.fromEntries(kept), ...measured } };
  const sorted = Object.fromEntries(
    (['closed', 'simple', 'open', 'hard'] as const).flatMap((kind) => {
      const models = after[kind];
      return models === undefined
        ? []
        : [[kind, Object.fromEntries(Object.entries(models).sort(([a], [b]) => (a < b ? -1 : 1)))]];
    }),
  );
  const document = new Document(sorted, { aliasDuplicateObjects: false });
  document.commentBefore = HEAD;
  // The compiler reads YAML 1.1, in which some plain texts are dates or numbers.
  visit(document, {
    Pair: (_, { value }) => {
      if (isScalar(value) && typeof value.value === 'string') value.type = 'QUOTE_DOUBLE';
    },
  });
  return document.toString({ lineWidth: 0 });
};

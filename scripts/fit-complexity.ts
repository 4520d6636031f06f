import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { complexityOf, termsOf, type Weighed } from '../gateway/complexity.ts';
import {
  brierScore,
  calibrationError,
  calibrationOf,
  type Judged,
  rocAuc,
} from '../gateway/evaluate/statistics/discrimination.ts';
import { fitLogistic, type LogisticCase } from '../gateway/evaluate/statistics/logistic.ts';
import { createRandom } from '../gateway/evaluate/statistics/random.ts';
import { createPriceTable } from '../gateway/prices.ts';
import { scriptsOf } from '../gateway/scripts.ts';
import { newestUserText, readSignals } from '../gateway/signals.ts';
import { estimatePromptTokens } from '../gateway/tokens.ts';
import type { Complexity, PolicyData } from '../gateway/types.gen.ts';

// Fits the weights of content.complexity to tasks of which is known whether a weak model was enough, and says on a part
// that was kept from the fit what they are worth. `--write` writes policies/complexity/data.yaml; docs/complexity.md tells
// the figures, and a test compares both with this.

/** A task, and how good the answers of the weak and the strong model were, 0 to 1. */
interface Task {
  readonly kind: 'closed' | 'open';
  readonly prompt: string;
  readonly weighed: Weighed;
  readonly weak: number;
  readonly strong: number;
}

/** The weights before there was a fit, chosen by hand. */
const PRIOR: Required<Complexity['weights']> = {
  multiple_choice: -1.5,
  yes_no: -1.5,
  code: 1.2,
  math: 0.5,
  negated: 0,
  instruction_verb: 0.5,
  question_mark: 0,
  turn: 0.15,
  number: 0,
  long_words: 0,
  length: 0.15,
  tool: 0.1,
  other_script: 0.3,
};
const PRIOR_BIAS = -1;
const NAMES = Object.keys(PRIOR) as (keyof typeof PRIOR)[];
/** How firmly the prior holds, in cases; the bias is free. */
const STRENGTH = 20;
/** On MT-Bench's scale of 10, the strong model was needed when its answer was better by as much. */
const NEEDED_BY = 0.05;
const HELD_OUT = 0.3;
const DATA = fileURLToPath(new URL('../evaluations/data/', import.meta.url));
const WEAK = 'mistralai/Mixtral-8x7B-Instruct-v0.1';
const STRONG = 'gpt-4-1106-preview';

const readTasks = (): Task[] => {
  const lines = (name: string): Record<string, unknown>[] =>
    readFileSync(`${DATA}${name}`, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const task = (kind: Task['kind'], prompt: string, weak: number, strong: number): Task => {
    const sample = newestUserText([{ role: 'user', text: prompt }]);
    const content = { signals: readSignals(sample, 1), languages: scriptsOf(sample.text) };
    return { kind, prompt, weighed: { request: { tools: [] }, content }, weak, strong };
  };
  return [
    ...lines('routellm_mmlu_2000.jsonl').map((line) =>
      task('closed', line.prompt as string, Number(line.weak_correct), Number(line.strong_correct)),
    ),
    ...lines('mt_bench_80.jsonl').map((line) => {
      const scores = line.scores as Record<string, number>;
      return task('open', line.prompt as string, scores[WEAK]! / 10, scores[STRONG]! / 10);
    }),
  ];
};

const needsStrong = ({ weak, strong }: Task): boolean => strong - weak >= NEEDED_BY - 1e-9;

/** The same for every run. */
const split = (tasks: readonly Task[]): { fitted: Task[]; heldOut: Task[] } => {
  const random = createRandom(20_261_124);
  const fitted: Task[] = [];
  const heldOut: Task[] = [];
  for (const task of tasks) (random() < HELD_OUT ? heldOut : fitted).push(task);
  return { fitted, heldOut };
};

const scoreOf = (task: Task, complexity: Complexity): number => complexityOf(task.weighed, complexity);

/** Both kinds of task count as much. */
const weightsFor = (tasks: readonly Task[]): Complexity => {
  const counts = { closed: 0, open: 0 };
  for (const { kind } of tasks) counts[kind]++;
  const cases = tasks.map<LogisticCase>((task) => ({
    features: [1, ...NAMES.map((name) => termsOf(task.weighed)[name])],
    isTrue: needsStrong(task),
    weight: tasks.length / 2 / counts[task.kind],
  }));
  const [bias, ...weights] = fitLogistic(
    cases,
    [PRIOR_BIAS, ...NAMES.map((name) => PRIOR[name])],
    [0.01, ...NAMES.map(() => STRENGTH)],
  ) as [number, ...number[]];
  const rounded = (value: number): number => Math.round(value * 100) / 100;
  return { bias: rounded(bias), weights: Object.fromEntries(NAMES.map((name, at) => [name, rounded(weights[at]!)])) };
};

/** What an answer costs at a model of the catalogue: the prompt, and an answer of the kind's usual length. */
const costs = (data: Pick<PolicyData, 'models'>) => {
  const prices = createPriceTable(data, 'fit');
  const known = new Map<Task, Map<string, number>>();
  return (task: Task, model: string): number => {
    const ofTask = known.get(task) ?? new Map<string, number>();
    known.set(task, ofTask);
    const before = ofTask.get(model);
    if (before !== undefined) return before;
    const input = estimatePromptTokens([task.prompt], 1);
    const output = task.kind === 'closed' ? 5 : 400;
    const usage = { input, output, cache_read: 0, cache_write: 0, cache_write_1h: 0, reasoning: 0 };
    const microUsd = prices.cost(model, usage);
    ofTask.set(model, microUsd);
    return microUsd;
  };
};

/** What becomes of tasks when those from a threshold on go to the strong model. */
interface Routed {
  readonly quality: number;
  readonly toWeak: number;
  /** Share of what always-strong costs. */
  readonly saved: number;
}

const route = (
  tasks: readonly Task[],
  isStrong: (task: Task) => boolean,
  cost: ReturnType<typeof costs>,
  models: readonly [string, string],
): Routed => {
  let quality = 0;
  let toWeak = 0;
  let spent = 0;
  let most = 0;
  for (const task of tasks) {
    const strong = isStrong(task);
    quality += strong ? task.strong : task.weak;
    toWeak += strong ? 0 : 1;
    spent += cost(task, strong ? models[1] : models[0]);
    most += cost(task, models[1]);
  }
  return { quality: quality / tasks.length, toWeak: toWeak / tasks.length, saved: 1 - spent / most };
};

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

const report = (
  complexity: Complexity,
  heldOut: readonly Task[],
  fitted: readonly Task[],
  data: Pick<PolicyData, 'models'>,
  models: readonly [string, string],
): string => {
  const judged = (tasks: readonly Task[]): Judged[] =>
    tasks.map((task) => ({ score: scoreOf(task, complexity), isTrue: needsStrong(task) }));
  const of = (kind: Task['kind']): Task[] => heldOut.filter((task) => task.kind === kind);
  const lines = [
    '| held-out tasks | number | strong model needed | ROC AUC | Brier score | calibration error |',
    '|---|---|---|---|---|---|',
  ];
  for (const [name, tasks] of [
    ['all', heldOut],
    ['multiple choice (MMLU)', of('closed')],
    ['open (MT-Bench)', of('open')],
  ] as const) {
    const cases = judged(tasks);
    lines.push(
      `| ${name} | ${tasks.length} | ${percent(cases.filter(({ isTrue }) => isTrue).length / cases.length)} | ${rocAuc(cases).toFixed(2)} | ${brierScore(cases).toFixed(3)} | ${calibrationError(calibrationOf(cases)).toFixed(3)} |`,
    );
  }
  const cost = costs(data);
  const always = (strong: boolean): Routed => route(heldOut, () => strong, cost, models);
  const [weakest, strongest] = [always(false), always(true)];
  lines.push(
    '',
    `| routing of the held-out tasks | quality | to the weak model | cost saved |`,
    '|---|---|---|---|',
    `| always strong (${models[1]}) | ${percent(strongest.quality)} | 0.0 % | 0.0 % |`,
  );
  const thresholds = [...new Set(fitted.map((task) => scoreOf(task, complexity)))].sort((a, b) => a - b);
  for (const loss of [0.01, 0.02, 0.05]) {
    // Chosen on what was fitted; the largest that loses no more there.
    const base = route(fitted, () => true, cost, models).quality;
    const threshold = thresholds.findLast(
      (bound) => route(fitted, (task) => scoreOf(task, complexity) >= bound, cost, models).quality >= base - loss,
    );
    const chosen = route(heldOut, (task) => scoreOf(task, complexity) >= (threshold ?? 0), cost, models);
    // By chance as many tasks of each kind: what the score adds is the difference.
    const shareOf = (kind: Task['kind']): number => {
      const tasks = of(kind);
      return tasks.filter((task) => scoreOf(task, complexity) < (threshold ?? 0)).length / Math.max(1, tasks.length);
    };
    const byChance = ['closed', 'open'].reduce((sum, kind) => {
      const tasks = of(kind as Task['kind']);
      const weak = shareOf(kind as Task['kind']);
      return sum + tasks.reduce((all, task) => all + weak * task.weak + (1 - weak) * task.strong, 0);
    }, 0);
    lines.push(
      `| strong from ${threshold?.toFixed(3)} on (at most ${loss * 100} points lost where it was fitted) | ${percent(chosen.quality)}, by chance ${percent(byChance / heldOut.length)} | ${percent(chosen.toWeak)} | ${percent(chosen.saved)} |`,
    );
  }
  lines.push(`| always weak (${models[0]}) | ${percent(weakest.quality)} | 100.0 % | ${percent(weakest.saved)} |`);
  return lines.join('\n');
};

/** The fitted weights and the report, as Markdown. `data` has the prices of both models. */
export const fitComplexity = (
  data: Pick<PolicyData, 'models'>,
  models: readonly [string, string],
): { complexity: Complexity; markdown: string } => {
  const { fitted, heldOut } = split(readTasks());
  const complexity = weightsFor(fitted);
  return { complexity, markdown: report(complexity, heldOut, fitted, data, models) };
};

/** policies/complexity/data.yaml for weights. */
export const complexityYaml = ({ bias, weights }: Complexity): string =>
  [
    '# Weights of content.complexity, fitted by scripts/fit-complexity.ts: run it again with --write rather than edit them.',
    '# docs/complexity.md tells what they are worth.',
    `bias: ${bias}`,
    'weights:',
    ...Object.entries(weights).map(([name, weight]) => `  ${name}: ${weight}`),
    '',
  ].join('\n');

/** The models of the catalogue whose prices stand for weak and strong. */
export const PRICED = ['mistral-small-2603', 'gpt-6-sol'] as const;

if (import.meta.main) {
  const { parse } = await import('yaml');
  const models = parse(
    readFileSync(fileURLToPath(new URL('../policies/models/data.yaml', import.meta.url)), 'utf8'),
  ) as PolicyData['models'];
  const { complexity, markdown } = fitComplexity({ models }, PRICED);
  console.log(`${complexityYaml(complexity)}\n${markdown}`);
  if (process.argv.includes('--write')) {
    writeFileSync(new URL('../policies/complexity/data.yaml', import.meta.url), complexityYaml(complexity));
  }
}

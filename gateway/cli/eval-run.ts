import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { askGateway, permittedModels } from '../evaluate/ask.ts';
import { callBound } from '../evaluate/call-bound.ts';
import { checkSuite } from '../evaluate/check-suite.ts';
import { type Journal, openJournal } from '../evaluate/journal.ts';
import { judgementCount, planJudgements } from '../evaluate/judgements.ts';
import { planAnswers } from '../evaluate/plan.ts';
import { resultsHtml } from '../evaluate/report/html.ts';
import { resultsMarkdown } from '../evaluate/report/markdown.ts';
import { resultsOf } from '../evaluate/results.ts';
import type { RunEnd } from '../evaluate/run-calls.ts';
import { runSuite } from '../evaluate/run-suite.ts';
import { answersDigest, readSuite, suiteDigest } from '../evaluate/suite.ts';
import type { Task } from '../evaluate/task.ts';
import { writeDurably } from '../policy/bundle-store.ts';
import type { EvalResults, Suite } from '../types.gen.ts';
import { CliError } from './cli-error.ts';
import { forPerson, RESULT_FILES, resultsFolder } from './eval-place.ts';
import { readServingPolicy, type ServingPolicy } from './eval-policy.ts';
import { createProgress } from './eval-progress.ts';
import { limitTasks, readTasks } from './eval-tasks.ts';
import { resultsText } from './eval-text.ts';
import { here } from './rollout-bundles.ts';

interface RunFlags {
  url?: string;
  results?: string;
  models?: string[];
  limit?: number;
  concurrency?: number;
  budgetUsd?: number;
  repeatLost?: true;
  repeatFailed?: true;
  bundle?: string;
  home?: string;
  json?: true;
}

const DEFAULT_URL = 'http://127.0.0.1:8080';
const DEFAULT_CONCURRENCY = 4;
const DEFAULT_BUDGET_USD = 5;
/** Of a run that a person stopped: 128 and the number of SIGINT. */
const STOPPED = 130;

/** `aegis eval run`. */
export const evalRunCommand = (): Command =>
  new Command('run')
    .description('put a suite’s tasks to its models through a gateway; goes on where an earlier run ended')
    .argument('<suite>', 'the suite’s YAML')
    .option('--url <url>', `the gateway (default: AEGIS_URL, else ${DEFAULT_URL}); the key is read from AEGIS_API_KEY`)
    .option('--results <folder>', 'where the results go (default: results/<name> beside the suite)')
    .option(
      '--models <names>',
      'instead of the suite’s, by commas; the first is what the others are compared with',
      listOf,
    )
    .option('--limit <n>', 'ask so many of the tasks only; a later run without it asks the others', wholeNumber)
    .option('--concurrency <n>', 'requests at a time', wholeNumber)
    .option('--budget-usd <usd>', 'stop before the calls in these results cost more, judges included', positive)
    .option('--repeat-lost', 'make calls again whose result a crash took; they may have been paid')
    .option('--repeat-failed', 'make calls again that failed')
    .option(
      '--bundle <file>',
      'the serving policy’s bundle, for models, prices and consent (default: the stable one of bundles/)',
    )
    .option('--home <folder>', 'the home whose audit log tasks are drawn from')
    .option('--json', 'print results.json')
    .action(run);

const listOf = (text: string): string[] => {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('') || new Set(names).size !== names.length)
    throw new InvalidArgumentError('names by commas, each once');
  return names;
};

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1) throw new InvalidArgumentError('a whole number from 1 on');
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError('an amount above 0');
  return value;
}

/** A run with all that it was told. */
interface Prepared {
  readonly suite: Suite;
  readonly suiteSha256: string;
  readonly policy: ServingPolicy;
  readonly allTasks: readonly Task[];
  readonly tasks: readonly Task[];
  readonly notes: readonly string[];
  readonly folder: string;
  readonly budgetMicroUsd: number;
}

const run = async (suiteFile: string, flags: RunFlags): Promise<void> => {
  const key = process.env.AEGIS_API_KEY;
  if (!key) throw new CliError('AEGIS_API_KEY is not set: the key of the gateway that is asked (./aegis keys create)');
  const url = urlOf(flags.url ?? process.env.AEGIS_URL ?? DEFAULT_URL);
  const prepared = await forPerson(prepare(suiteFile, flags));
  const { suite, allTasks, folder } = prepared;
  const journal = await forPerson(openJournal(join(folder, RESULT_FILES.journal), answersDigest(suite, allTasks)));
  try {
    const access = { url, key, purpose: suite.purpose ?? {}, suite: suite.name };
    refuseUnpermitted(suite, await forPerson(permittedModels(access)));
    const ask = askGateway(access);
    const end = await evaluate(prepared, journal, ask, flags);
    const results = await forPerson(Promise.try(() => resultsFrom(prepared, journal, end)));
    await writeResults(folder, results);
    console.log(flags.json ? JSON.stringify(results) : resultsText(results));
    process.stderr.write(`${here(join(folder, RESULT_FILES.html))} shows all of it, with every answer\n`);
    if (end.reason === 'stopped') process.exitCode = STOPPED;
    else if (end.reason !== 'done' || results.models.some(({ quality }) => quality === null)) process.exitCode = 1;
  } finally {
    await journal.close();
  }
};

/** Throws CliError when the key may not use a model: half of a comparison would be paid for nothing. */
const refuseUnpermitted = ({ models, graders }: Suite, permitted: ReadonlySet<string> | undefined): void => {
  if (!permitted) return;
  const wanted = new Set([...models, ...graders.flatMap(({ model }) => model ?? [])]);
  const refused = [...wanted].filter((model) => !permitted.has(model));
  if (refused.length === 0) return;
  throw new CliError(
    `the gateway does not offer ${refused.join(', ')} to this key; nothing was asked (another key, or --models)`,
  );
};

const urlOf = (text: string): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== '' || url.username !== '') {
    throw new CliError(`--url takes the address of a gateway such as ${DEFAULT_URL}, not ${JSON.stringify(text)}`);
  }
  return `${url.origin}${url.pathname}`.replace(/\/(?:v1\/?)?$/, '');
};

/** Reads all that a run needs and looks at the whole of it, before the first call is paid. */
const prepare = async (suiteFile: string, flags: RunFlags): Promise<Prepared> => {
  const written = await readSuite(suiteFile);
  const suite = flags.models === undefined ? written : { ...written, models: flags.models };
  const folder = resultsFolder(suiteFile, suite, flags.results);
  const policy = await readServingPolicy(flags.bundle);
  const drawnFile = join(folder, RESULT_FILES.tasks);
  const places = { suiteFile, drawnFile, home: flags.home, data: policy.data, nowMs: Date.now() };
  const { tasks: allTasks, notes } = await readTasks(suite, places);
  const tasks = limitTasks(allTasks, suite, flags.limit);
  const { errors, warnings } = checkSuite(suite, allTasks, { models: policy.data.models, prices: policy.prices });
  for (const warning of warnings) process.stderr.write(`! ${warning}\n`);
  if (errors.length > 0)
    throw new CliError(`${here(suiteFile)} cannot be run; nothing was asked\n  ${errors.join('\n  ')}`);
  const budgetMicroUsd = Math.floor((flags.budgetUsd ?? suite.budget_usd ?? DEFAULT_BUDGET_USD) * 1e6);
  return { suite, suiteSha256: suiteDigest(suite, allTasks), policy, allTasks, tasks, notes, folder, budgetMicroUsd };
};

const evaluate = async (
  { suite, tasks, policy, budgetMicroUsd }: Prepared,
  journal: Journal,
  ask: ReturnType<typeof askGateway>,
  flags: RunFlags,
): Promise<RunEnd> => {
  const done = [
    ...planAnswers(suite, tasks),
    ...planJudgements(suite, tasks, journal.results).map(({ planned }) => planned),
  ];
  const progress = createProgress(
    {
      total: planAnswers(suite, tasks).length + judgementCount(suite, tasks),
      done: done.filter(({ call }) => journal.results.has(call)).length,
      spentMicroUsd: () => journal.spentMicroUsd,
      budgetMicroUsd,
    },
    process.stderr,
  );
  const stop = new AbortController();
  const interrupt = (): void => {
    // A second one means it: what is under way is lost then.
    if (stop.signal.aborted) process.exit(STOPPED);
    process.stderr.write('\nstopping: calls under way are waited for (again: leave at once)\n');
    stop.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    return await runSuite(suite, tasks, {
      ask,
      journal,
      concurrency: flags.concurrency ?? suite.concurrency ?? DEFAULT_CONCURRENCY,
      budgetMicroUsd,
      boundOf: callBound(policy.prices),
      repeatLost: flags.repeatLost ?? false,
      repeatFailed: flags.repeatFailed ?? false,
      signal: stop.signal,
      onResult: (result) => progress.result(result),
    });
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
    progress.end();
  }
};

const resultsFrom = (
  { suite, suiteSha256, allTasks, tasks, notes, budgetMicroUsd }: Prepared,
  journal: Journal,
  end: RunEnd,
): EvalResults =>
  resultsOf({ suite, suiteSha256, suiteTasks: allTasks.length, tasks, journal, budgetMicroUsd, end, notes });

/** For its owner alone, in whichever folder: prompts and answers may be somebody's. */
const writeResults = async (folder: string, results: EvalResults): Promise<void> => {
  const texts = [
    [RESULT_FILES.results, `${JSON.stringify(results, null, 1)}\n`],
    [RESULT_FILES.markdown, resultsMarkdown(results)],
    [RESULT_FILES.html, resultsHtml(results)],
  ] as const;
  for (const [name, text] of texts) await writeDurably(join(folder, name), Buffer.from(text), 0o600);
};

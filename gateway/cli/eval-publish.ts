import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { parse } from 'yaml';
import { judgeWarnings, measurementsOf, qualityYaml, replacedModels } from '../evaluate/publish.ts';
import { readSuite, suiteDigest } from '../evaluate/suite.ts';
import { writeDurably } from '../policy/bundle-store.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import type { Quality } from '../types.gen.ts';
import { CliError } from './cli-error.ts';
import { parseDuration } from './duration.ts';
import { findResults, forPerson, RESULT_FILES } from './eval-place.ts';
import { readTasks } from './eval-tasks.ts';
import { lineDiff } from './line-diff.ts';
import { here } from './rollout-bundles.ts';

interface PublishFlags {
  results?: string;
  policies: string;
  validFor: string;
  minSamples?: string;
}

/** `aegis eval publish`. */
export const evalPublishCommand = (): Command =>
  new Command('publish')
    .description('write what a suite measured into policies/quality/data.yaml, for rules to route by')
    .argument('<suite>', 'the suite’s YAML')
    .option('--results <folder>', 'where its results are')
    .option('--policies <folder>', 'the policies', resolve(CHECKOUT, 'policies'))
    .option('--valid-for <duration>', 'how long rules may rely on it, from the day it was measured', '90d')
    .option('--min-samples <n>', 'refuse fewer graded tasks of a model (default: routing.quality.min_samples)')
    .action(publish);

const publish = async (suiteFile: string, flags: PublishFlags): Promise<void> => {
  const validForMs = parseDuration(flags.validFor);
  if (!validForMs)
    throw new CliError(`--valid-for takes a duration such as 90d, not ${JSON.stringify(flags.validFor)}`);
  const suite = await forPerson(readSuite(suiteFile));
  const { folder, results } = await findResults(suiteFile, flags.results);
  const places = {
    suiteFile,
    drawnFile: join(folder, RESULT_FILES.tasks),
    home: undefined,
    data: { organizations: {} },
    nowMs: Date.now(),
  };
  const { tasks } = await forPerson(readTasks(suite, places));
  const options = { suiteSha256: suiteDigest(suite, tasks), validForMs, minSamples: await minSamplesOf(flags) };
  const measured = await forPerson(Promise.try(() => measurementsOf(results, options)));
  for (const warning of judgeWarnings(results)) process.stderr.write(`! ${warning}\n`);
  const file = join(flags.policies, 'quality', 'data.yaml');
  const before = await readText(file);
  const quality = (parse(before) ?? {}) as Quality;
  const after = qualityYaml(quality, suite.task, measured);
  const gone = replacedModels(quality, suite.task, measured);
  if (gone.length > 0) {
    process.stderr.write(
      `! ${suite.task}: ${gone.join(', ')} ${gone.length === 1 ? 'was' : 'were'} measured by other tasks, or another version of them, and cannot be compared: removed (measure with this suite, --models)\n`,
    );
  }
  if (after === before) {
    console.log(`${here(file)} says so already`);
    return;
  }
  await mkdir(dirname(file), { recursive: true });
  await writeDurably(file, Buffer.from(after));
  console.log(`${here(file)}\n${lineDiff(before, after)}\n\n${nextSteps(flags.policies)}`);
};

const readText = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return '';
    throw error;
  }
};

/** Rules pass over what was measured on fewer tasks, so publishing it would change nothing. */
const minSamplesOf = async ({ minSamples, policies }: PublishFlags): Promise<number> => {
  if (minSamples !== undefined) {
    if (/^[1-9]\d{0,5}$/.test(minSamples)) return Number(minSamples);
    throw new CliError(`--min-samples takes a whole number, not ${JSON.stringify(minSamples)}`);
  }
  const routing = parse(await readText(join(policies, 'routing', 'data.yaml'))) as {
    quality?: { min_samples?: number };
  } | null;
  return routing?.quality?.min_samples ?? 1;
};

const nextSteps = (policies: string): string => {
  const folder = resolve(policies) === resolve(CHECKOUT, 'policies') ? '' : ` ${here(policies)}`;
  return [
    'next:',
    `  ./aegis check${folder}`,
    `  ./aegis test${folder}`,
    `  ./aegis build${folder} -o bundles/policy-next.tar.gz`,
    '  ./aegis rollout shadow policy-next.tar.gz',
  ].join('\n');
};

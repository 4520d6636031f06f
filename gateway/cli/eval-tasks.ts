import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type DrawRecorded, readDataset } from '../evaluate/dataset.ts';
import { drawRecorded } from '../evaluate/recorded.ts';
import { createRandom, drawPositions } from '../evaluate/statistics/random.ts';
import { SuiteError } from '../evaluate/suite.ts';
import type { Task } from '../evaluate/task.ts';
import type { PolicyData, Suite, SuiteAudit } from '../types.gen.ts';
import { auditHomes } from './audit-home.ts';
import { parseSince } from './audit-since.ts';
import { here } from './rollout-bundles.ts';

/** The tasks of a suite and what to say of them. */
export interface SuiteTasks {
  readonly tasks: readonly Task[];
  readonly notes: readonly string[];
}

/** Where tasks come from, beside the suite. */
export interface TaskPlaces {
  readonly suiteFile: string;
  /** Where tasks drawn from an audit log are kept, so that a run that goes on has the same. */
  readonly drawnFile: string;
  readonly home: string | undefined;
  readonly data: Pick<PolicyData, 'organizations'>;
  readonly nowMs: number;
}

/**
 * The tasks of a suite. Those from an audit log are drawn once and then kept in `drawnFile`, in clear, for its owner alone.
 * Throws SuiteError; CliError without an audit log.
 */
export const readTasks = async (suite: Suite, places: TaskPlaces): Promise<SuiteTasks> => {
  const { suiteFile, drawnFile } = places;
  if (suite.dataset.audit === undefined) return { tasks: await readDataset(suite, suiteFile, drawNone), notes: [] };
  const kept = await readDrawn(drawnFile);
  if (kept) return kept;
  let notes: string[] = [];
  const draw: DrawRecorded = async (from) => {
    const { tasks, passedOver } = await drawRecorded(auditHomes(places.home), filterOf(from, places));
    notes = [...passedOver].map(
      ([reason, count]) => `${count} recorded ${count === 1 ? 'request was' : 'requests were'} passed over: ${reason}.`,
    );
    if (tasks.length === 0) throw new SuiteError(['no recorded request can be drawn', ...notes].join('\n  '));
    return tasks;
  };
  const tasks = await readDataset(suite, suiteFile, draw);
  await mkdir(dirname(drawnFile), { recursive: true, mode: 0o700 });
  await writeFile(drawnFile, `${[{ notes }, ...tasks].map((line) => JSON.stringify(line)).join('\n')}\n`, {
    mode: 0o600,
  });
  return { tasks, notes };
};

/** At most so many of the tasks, the same ones each time, and among those of a higher number. */
export const limitTasks = (tasks: readonly Task[], { dataset }: Suite, limit: number | undefined): readonly Task[] =>
  limit === undefined || limit >= tasks.length
    ? tasks
    : drawPositions(tasks.length, limit, createRandom(dataset.seed ?? 1)).map((at) => tasks[at] as Task);

const drawNone: DrawRecorded = async () => [];

const filterOf = (from: SuiteAudit, { data, nowMs }: TaskPlaces) => ({
  organizations: new Set(
    Object.entries(data.organizations ?? {}).flatMap(([name, { evaluation }]) => (evaluation === true ? [name] : [])),
  ),
  org: from.org,
  workflow: from.workflow,
  useCase: from.use_case,
  sinceMs: from.since === undefined ? Number.NEGATIVE_INFINITY : parseSince(from.since, nowMs),
  untilMs: from.until === undefined ? nowMs : parseSince(from.until, nowMs),
  mirrored: from.mirrored ?? false,
});

const readDrawn = async (file: string): Promise<SuiteTasks | undefined> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const [head, ...tasks] = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    return { tasks: tasks as Task[], notes: (head as { notes: string[] }).notes };
  } catch (error) {
    throw new SuiteError(`${here(file)} is damaged: remove it, and the tasks are drawn anew`, { cause: error });
  }
};

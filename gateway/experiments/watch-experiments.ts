import { definitionOf } from '../experiment.ts';
import type { ExperimentStop, ExperimentStops } from '../store/experiment-stops.ts';
import type { Experiment, Input, PolicyData } from '../types.gen.ts';
import { armsOf, guardsOf } from './compare-arms.ts';
import type { ExperimentReader } from './experiment-reader.ts';
import type { GuardReport } from './experiment-report.ts';
import { isRunning } from './judge-experiment.ts';

/** What a watch needs. */
export interface WatchOptions {
  /** Data of the policies that decide: the serving one, then that of a candidate. */
  readonly policies: () => readonly PolicyData[];
  readonly reader: Pick<ExperimentReader, 'arms'>;
  readonly stops: ExperimentStops;
  /** Told once of each experiment that this gateway stopped. */
  readonly onStop: (stop: ExperimentStop, reading: GuardReport) => void;
  /** Told of a look that failed; what is known stays. */
  readonly onError: (error: unknown) => void;
  /** From the end of a look to the next, at least. */
  readonly intervalMs?: number;
  readonly now?: () => number;
}

/** Watches the guards of running experiments. */
export interface ExperimentWatch {
  /** What policies are told: those that a guard stopped. At once, and the same object until something changes. */
  experiments(): Input['experiments'];
  /** The stops that are known, of the definition that serves. */
  stopOf(id: string, experiment: Experiment): ExperimentStop | undefined;
  /** Looks now. Never rejects. */
  look(): Promise<void>;
  close(): Promise<void>;
}

const INTERVAL_MS = 10_000;
/** Pauses are this many times as long as a look at least: large experiments take seconds of the store, from each gateway. */
const PAUSES = 20;
/** A breach must not wait for longer. */
const MOST_PAUSE_MS = 60_000;
const NONE: Input['experiments'] = Object.freeze({});
const STOPPED = Object.freeze({ stopped: true });

/**
 * Opens the watch: it looks at once, then again and again. Each look takes the stops of all gateways, reads the arms of each
 * running experiment that has guards, and keeps a stop where one is breached. While the store is away what is known holds.
 */
export const openExperimentWatch = (options: WatchOptions): ExperimentWatch => {
  const { policies, reader, stops, onStop, onError, intervalMs = INTERVAL_MS, now = Date.now } = options;
  const known = new Map<string, ExperimentStop>();
  let changes = 0;
  let told: { readonly of: readonly PolicyData[]; readonly changes: number; readonly facts: Input['experiments'] } = {
    of: [],
    changes: 0,
    facts: NONE,
  };
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let isClosed = false;
  let areStopsKnown = false;

  const keep = (stop: ExperimentStop): void => {
    const key = keyOf(stop.experiment, stop.definition);
    if (known.has(key)) return;
    known.set(key, stop);
    changes++;
  };
  const stopOf: ExperimentWatch['stopOf'] = (id, experiment) => known.get(keyOf(id, definitionOf(experiment)));

  const judge = async (id: string, experiment: Experiment): Promise<void> => {
    const definition = definitionOf(experiment);
    const arms = await reader.arms({ experiment: id, definition });
    const breached = guardsOf(experiment, new Map(arms.map((arm) => [arm.arm, arm]))).find(
      ({ is_breached }) => is_breached,
    );
    if (!breached) return;
    const { arm, guard } = breached;
    const stop = { experiment: id, definition, timeMs: now(), arm, guard, reason: reasonOf(breached) };
    const isFirst = await stops.add(stop);
    if (isFirst) onStop(stop, breached);
    for (const other of isFirst ? [stop] : await stops.all()) keep(other);
  };

  const lookAtAll = async (): Promise<void> => {
    const running = runningOf(policies(), now());
    // Once in any case: a policy that comes may have one that was stopped long ago.
    if (running.length === 0 && areStopsKnown) return;
    for (const stop of await stops.all()) keep(stop);
    areStopsKnown = true;
    for (const [id, experiment] of running) {
      if (isClosed) return;
      const hasGuards = Object.keys(experiment.guards ?? {}).length > 0 && armsOf(experiment).length > 1;
      if (hasGuards && !stopOf(id, experiment)) await judge(id, experiment).catch(onError);
    }
  };
  const look = (): Promise<void> => {
    looking ??= lookAtAll()
      .catch(onError)
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };
  const goOn = async (): Promise<void> => {
    const startedMs = performance.now();
    await look();
    const pauseMs = Math.max(intervalMs, Math.min(PAUSES * (performance.now() - startedMs), MOST_PAUSE_MS));
    if (!isClosed) timer = setTimeout(() => void goOn(), pauseMs).unref();
  };
  void goOn();

  return {
    experiments() {
      const all = policies();
      if (told.changes !== changes || told.of[0] !== all[0] || told.of[1] !== all[1]) {
        told = { of: all, changes, facts: factsOf(all, stopOf) };
      }
      return told.facts;
    },
    stopOf,
    look,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await looking;
    },
  };
};

const keyOf = (id: string, definition: string): string => `${id} ${definition}`;

/** A definition that two policies share once. */
const runningOf = (all: readonly PolicyData[], nowMs: number): [string, Experiment][] => {
  const running = new Map<string, [string, Experiment]>();
  for (const { experiments = {} } of all) {
    for (const [id, experiment] of Object.entries(experiments)) {
      const key = keyOf(id, definitionOf(experiment));
      if (isRunning(experiment, nowMs) && !running.has(key)) running.set(key, [id, experiment]);
    }
  }
  return [...running.values()];
};

/** While a candidate changes an experiment that was stopped, or has one that was, it is stopped under both policies. */
const factsOf = (all: readonly PolicyData[], stopOf: ExperimentWatch['stopOf']): Input['experiments'] => {
  const stopped = all
    .flatMap(({ experiments = {} }) => Object.entries(experiments))
    .filter(([id, experiment]) => stopOf(id, experiment));
  return stopped.length === 0 ? NONE : Object.freeze(Object.fromEntries(stopped.map(([id]) => [id, STOPPED])));
};

/** What a guard found, with its figures. */
const reasonOf = ({ arm, guard, limit, worse_by, low, high }: GuardReport): string => {
  const isRelative = guard === 'max_cost_increase' || guard === 'max_latency_increase';
  const figure = (value: number | null): string =>
    guard === 'max_score_decrease' ? (value ?? 0).toFixed(3) : `${((value ?? 0) * 100).toFixed(1)} %`;
  const what = isRelative ? ' of control' : '';
  if (worse_by === null) return `${arm} has some where control has none; ${figure(limit)}${what} is allowed.`;
  return `${arm} is worse by ${figure(worse_by)}${what} [${figure(low)}, ${figure(high)}]; ${figure(limit)} is allowed.`;
};

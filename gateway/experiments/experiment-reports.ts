import { definitionOf } from '../experiment.ts';
import type { ExperimentStop, ExperimentStops } from '../store/experiment-stops.ts';
import type { Experiment, PolicyData } from '../types.gen.ts';
import type { ExperimentReader } from './experiment-reader.ts';
import type { ExperimentReport } from './experiment-report.ts';
import { judgeExperiment } from './judge-experiment.ts';

/** Which experiments are reported, and on whose requests. */
export interface ReportQuestion {
  /** One by its id; absent: all. */
  readonly id?: string | undefined;
  /** Of one organisation: experiments that concern it, judged by its own requests. */
  readonly org?: string | undefined;
  readonly nowMs: number;
}

/** Where reports are made from. */
export interface ReportSource {
  readonly reader: Pick<ExperimentReader, 'arms'>;
  readonly stops: Pick<ExperimentStops, 'all'>;
}

/** The experiments of a policy as they stand, in the order of their ids. Rejects while the store is away. */
export const reportExperiments = async (
  { reader, stops }: ReportSource,
  data: Pick<PolicyData, 'experiments'>,
  { id, org, nowMs }: ReportQuestion,
): Promise<ExperimentReport[]> => {
  const asked = Object.entries(data.experiments ?? {})
    .filter(([name, experiment]) => (id === undefined || name === id) && concerns(experiment, org))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  if (asked.length === 0) return [];
  const stopped = await stops.all();
  const reports: ExperimentReport[] = [];
  for (const [name, experiment] of asked) {
    const definition = definitionOf(experiment);
    const readings = await reader.arms({ experiment: name, definition, org });
    reports.push(judgeExperiment({ id: name, experiment, readings, stop: stopOf(stopped, name, definition), nowMs }));
  }
  return reports;
};

const concerns = ({ organizations }: Experiment, org: string | undefined): boolean =>
  org === undefined || organizations === undefined || organizations[org] === true;

const stopOf = (stops: readonly ExperimentStop[], experiment: string, definition: string): ExperimentStop | undefined =>
  stops.find((stop) => stop.experiment === experiment && stop.definition === definition);

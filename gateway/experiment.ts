import { hash } from 'node:crypto';
import type { Exchange } from './exchange.ts';
import { unitsOf } from './stages/describe.ts';
import type { AuditOutcome, Experiment } from './types.gen.ts';

/** How a request counts for an experiment, as its outcome has it. */
export type Exposure = NonNullable<AuditOutcome['experiment']>;

const digests = new WeakMap<Experiment, string>();

/**
 * Digest of what an experiment compares and for whom: its arms, unit, salt, start and audience. What was counted under
 * another digest is not compared with it. Title, end, metric and guards may change while it runs.
 */
export const definitionOf = (experiment: Experiment): string => {
  let digest = digests.get(experiment);
  if (digest === undefined) {
    const { title: _title, end: _end, metric: _metric, guards: _guards, ...compared } = experiment;
    digest = hash('sha256', canonical(compared)).slice(0, 16);
    digests.set(experiment, digest);
  }
  return digest;
};

const canonical = (value: unknown): string => {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
};

/**
 * How a request counts for the experiment of its decision; undefined without one. From when a guard has stopped it, nobody
 * counts any more: everybody in control is no comparison.
 */
export const exposureOf = (x: Exchange): Exposure | undefined => {
  const experiments = x.policy?.data.experiments;
  const { caller, described, decision } = x.products;
  if (!experiments || !caller || !described || !decision) return undefined;
  const drawn = decision.route.experiment;
  if (!drawn) return undefined;
  const { input } = described;
  const experiment = experiments[drawn.id];
  if (!experiment || input.experiments[drawn.id]?.stopped) return undefined;
  const { request, purpose } = input;
  // The name in the body does not draw: only the header is there before the body is read.
  const endUser = request.end_user.source === 'header' ? request.end_user.name : '';
  const unit = unitsOf({ requestId: request.id, purpose, endUser }, caller)[experiment.unit];
  return { ...drawn, definition: definitionOf(experiment), unit };
};

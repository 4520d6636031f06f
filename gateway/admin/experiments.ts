import { GatewayError } from '../errors.ts';
import { reportExperiments } from '../experiments/experiment-reports.ts';
import type { Measured } from '../types.gen.ts';
import type { Answer, Operation } from './admin-operation.ts';
import { readQuery } from './query.ts';

/**
 * GET /admin/v1/experiments: what `aegis experiment show --json` tells of each experiment of the serving policy, or of the
 * one with `id`. Who administers one organisation gets the experiments that concern it, judged by its own requests.
 */
export const readExperiments = async ({ gateway, experiments, org, query }: Operation): Promise<Answer> => {
  const id = readQuery(query, ['id']).text('id');
  const data = gateway.policies.current?.data ?? {};
  const question = { id, org: org ?? undefined, nowMs: Date.now() };
  const reports = await reportExperiments(experiments, data, question).catch((cause: unknown) => {
    throw new GatewayError('store_unavailable', 'What experiments have measured cannot be read now.', { cause });
  });
  if (id !== undefined && reports.length === 0) {
    throw new GatewayError('not_found', `The serving policy has no experiment ${id} here.`, {
      hint: 'GET /admin/v1/experiments lists them.',
    });
  }
  return { status: 200, body: { data: reports } };
};

/** GET /admin/v1/evaluations: the qualities that the serving policy goes by, by kind of task and model. */
export const readEvaluations = ({ gateway, query }: Operation): Answer => {
  readQuery(query, []);
  const today = new Date().toISOString().slice(0, 10);
  const quality = Object.entries(gateway.policies.current?.data.quality ?? {}) as [string, Measured][];
  const data = quality.flatMap(([task, measured]) =>
    Object.entries(measured).map(([model, measurement]) => ({
      task,
      model,
      ...measurement,
      is_stale: measurement.valid_until < today,
    })),
  );
  return { status: 200, body: { data } };
};

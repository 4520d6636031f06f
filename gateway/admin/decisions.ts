import { GatewayError } from '../errors.ts';
import type { Answer, Operation } from './admin-operation.ts';
import { readQuery } from './query.ts';

/**
 * GET /admin/v1/decisions/{id}: what `aegis explain --json` tells, for decisions of the organisations that the policy says.
 * Prompts and answers are not among it: no operation of the policy is for them alone.
 */
export const readDecision = async (operation: Operation): Promise<Answer> => {
  const { id, org, query } = operation;
  operation.tell({ decision: id });
  if (query.has('content')) {
    throw new GatewayError('invalid_field', 'Prompts and answers are not given over HTTP.', {
      param: 'content',
      hint: 'On the gateway’s machine: ./aegis explain --content.',
    });
  }
  readQuery(query, []);
  const explanation = await explained(operation.explanations.explain(id, org));
  if (!explanation) {
    throw new GatewayError('not_found', `There is no decision ${id} here.`, {
      hint: 'A gateway knows its own decisions, and with store.decisions_days those of all that share its store.',
    });
  }
  return { status: 200, body: explanation };
};

/** What became of a search, as an answer. */
const explained = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    const isSlow = (error as { trouble?: unknown } | null)?.trouble === 'slow';
    const message = isSlow
      ? 'The decision was not found in time.'
      : 'What is recorded of the decision cannot be read now.';
    throw new GatewayError('store_unavailable', message, {
      hint: 'On the gateway’s machine ./aegis explain takes the time it needs, and says what is wrong.',
      cause: error,
    });
  }
};

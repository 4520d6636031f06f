import type { IncomingMessage, ServerResponse } from 'node:http';
import { decidedHeaders } from '../answer-error.ts';
import { conclude } from '../conclude.ts';
import { GatewayError } from '../errors.ts';
import type { Exchange } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import { FREE } from '../outcome.ts';
import type { Policy } from '../policy/policy.ts';
import type { Detector } from '../redact/redactor.ts';
import { readSchema, type SchemaError, validator } from '../schema.ts';
import type { RatedRequest } from '../store/feedback-book.ts';
import type { Decision, Feedback, Input } from '../types.gen.ts';
import { admit } from './admit.ts';
import { decide, denial } from './decide.ts';
import { type ReadHead, type ReadLimits, readJson } from './read.ts';

const MOST_BYTES = 16_384;
const MOST_DEPTH = 4;

const isFeedback = validator<Feedback>(readSchema('feedback'));

/** The body of POST /v1/feedback. Throws as `read`, and GatewayError `invalid_field` with `param`. */
export const readFeedback = async (
  req: IncomingMessage,
  head: ReadHead,
  { bodyTimeoutMs }: ReadLimits,
): Promise<Feedback> => {
  const bounds = { bodyBytes: MOST_BYTES, depth: MOST_DEPTH, ...(bodyTimeoutMs !== undefined && { bodyTimeoutMs }) };
  const body = await readJson(req, head, bounds);
  if (!isFeedback(body)) throw wrong(isFeedback.errors?.[0]);
  return body;
};

/** What is wrong with a body, in the words of its API's clients. */
const wrong = (error: SchemaError | undefined): GatewayError => {
  const { additionalProperty, missingProperty } = (error?.params ?? {}) as Record<string, string | undefined>;
  if (error?.keyword === 'minProperties' || missingProperty === undefined) {
    if (error?.keyword === 'minProperties') {
      return new GatewayError('invalid_field', 'Nothing is said of the answer: send score, label or comment.');
    }
    const param = additionalProperty?.slice(0, 64) ?? error?.instancePath.slice(1) ?? '';
    const what = additionalProperty === undefined ? (error?.message ?? 'is not valid') : 'is not known';
    return new GatewayError('invalid_field', `${param || 'The body'} ${what}.`, param === '' ? {} : { param });
  }
  return new GatewayError('invalid_field', `${missingProperty} is missing.`, { param: missingProperty });
};

/**
 * Answers POST /v1/feedback: keeps what an application says of an answer, in place of what the same user, or credential
 * without one, said before. Decided, limited and recorded like any call; the comment goes to the store alone, personal data
 * and credentials in it masked. Throws GatewayError `policy_denied`, `rate_limited`, `not_found`, `store_unavailable`.
 */
export const answerFeedback = async (
  gw: Gateway,
  x: Exchange,
  said: Feedback,
  input: Input,
  policy: Policy,
  res: ServerResponse,
): Promise<void> => {
  const decision = x.keep('decision', decide(input, policy));
  if (!decision.allow) throw denial(decision);
  x.keep('permit', await admit(x.ids.decisionId, input, decision, 0, gw.limiter, x.receivedAt));
  const { caller } = input;
  const user = decision.acting_for || caller.user;
  const rated = await stored(gw.feedback.find(said.decision_id));
  if (!rated || !mayRate(rated, caller, user)) {
    throw new GatewayError('not_found', 'There is no such decision that you may rate.', {
      param: 'decision_id',
      hint: 'Send the x-aegis-decision-id of an answer to you, your user or your application.',
    });
  }
  const { decision_id: decisionId, score = null, label = null, comment } = said;
  const source = user === '' ? `key ${caller.id}` : `user ${user}`;
  const masked = comment === undefined ? null : maskedComment(comment, gw.detector);
  const opinion = { decisionId, source, org: caller.org, timeMs: x.receivedAt, score, label, comment: masked };
  await stored(gw.feedback.keep(opinion));
  await gw.audit.append({
    kind: 'event',
    time: new Date().toISOString(),
    event: 'feedback',
    detail: { request_id: x.ids.requestId, org: caller.org, source, decision_id: decisionId, score, label },
  });
  await conclude(gw, x, { outcome: 'ok', status: 200, error: null, usage: null, cost: FREE });
  const text = JSON.stringify({ object: 'feedback', decision_id: decisionId, score, label, comment: masked });
  res.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...decidedHeaders(x, 'openai'),
  });
  res.end(text);
};

/**
 * Whose answers a caller may rate: those to its own credential and to the user that it is or acts for; a credential without
 * a user of its own is an application's, and may rate what its team asked.
 */
const mayRate = (rated: RatedRequest, caller: Input['caller'], user: Decision['acting_for']): boolean => {
  if (rated.org !== caller.org) return false;
  if (rated.keyId === caller.id || (user !== '' && rated.user === user)) return true;
  return caller.user === '' && rated.team === caller.team;
};

/** A comment without what the detectors find in it: the entity's name stands there. */
const maskedComment = (comment: string, detector: Detector): string => {
  let masked = '';
  let at = 0;
  for (const { entity, start, end } of detector.detect(comment)) {
    masked += `${comment.slice(at, start)}[${entity}]`;
    at = end;
  }
  return masked + comment.slice(at);
};

/** What the store says, or that it cannot be asked. */
const stored = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (cause) {
    throw new GatewayError('store_unavailable', 'Feedback cannot be kept now.', {
      hint: 'Send it again later: what is sent twice counts once.',
      cause,
    });
  }
};

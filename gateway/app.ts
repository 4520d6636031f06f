import type { IncomingMessage, ServerResponse } from 'node:http';
import Koa from 'koa';
import { answerError } from './answer-error.ts';
import { GatewayError } from './errors.ts';
import { Exchange } from './exchange.ts';
import type { Gateway } from './gateway.ts';
import { intentOf } from './outcome.ts';
import { protocolOf } from './protocol/protocols.ts';
import { admit, costBound } from './stages/admit.ts';
import { authenticate } from './stages/authenticate.ts';
import { candidatesOf } from './stages/candidates.ts';
import { answerCount } from './stages/count-tokens.ts';
import { decide, denial } from './stages/decide.ts';
import { bucketsOf, describe, describeBodiless } from './stages/describe.ts';
import { answerFeedback, readFeedback } from './stages/feedback.ts';
import { forward } from './stages/forward.ts';
import { mask } from './stages/mask.ts';
import { answerModels } from './stages/models.ts';
import { wayTo } from './stages/outgoing.ts';
import { read } from './stages/read.ts';
import { dialectOf, newIds, receive } from './stages/receive.ts';
import { respond } from './stages/respond.ts';
import type { Input } from './types.gen.ts';

/**
 * The data plane as a Koa application. `open` holds the exchanges under way, so that a stop can wait for them. `onOver` hears
 * of each when its last byte is out, or its caller gone.
 */
export const createApp = (gw: Gateway, open: Set<Exchange>, onOver: (x: Exchange) => void = ignore): Koa => {
  const app = new Koa();
  app.use(async (ctx, next) => {
    const { req, res } = ctx;
    const x = new Exchange(newIds(), req.socket.remoteAddress ?? '', gw.telemetry.trace(req.rawHeaders));
    x.method = req.method ?? '';
    ctx.state.exchange = x;
    // The stages write to the response themselves: Koa's own way of streaming costs three times as much.
    ctx.respond = false;
    if (gw.isDraining()) res.shouldKeepAlive = false;
    open.add(x);
    res.once('close', () => {
      if (!res.writableFinished) x.abort();
    });
    res.on('error', ignore);
    if (!res.socket) watchSocket(req, res, x);
    try {
      await next();
    } catch (error) {
      const dialect = dialectOf(req.url ?? '/', req.headers['anthropic-version'] !== undefined);
      await answerError(gw, x, dialect, res, error);
    } finally {
      // Until its last byte is out; a response that never had its turn on a pipelined connection does not close.
      const end = (): void => {
        open.delete(x);
        onOver(x);
      };
      if (res.closed || res.destroyed) end();
      else res.once('close', end);
    }
  });
  app.use(serve(gw));
  return app;
};

/** A caller that left shows as `close`; what was on its way to it is nobody's error. */
const ignore = (): void => {};

/** A pipelined request waits for the answer before it: until then its response does not hear that the caller left. */
const watchSocket = (req: IncomingMessage, res: ServerResponse, x: Exchange): void => {
  const leave = (): void => {
    x.abort();
    res.destroy();
  };
  req.socket.setMaxListeners(0).once('close', leave);
  res.once('close', () => req.socket.off('close', leave));
};

/** The way of a request: a line a stage, each product kept. docs/lifecycle.md tells the error exits of each. */
const serve =
  (gw: Gateway) =>
  async (ctx: Koa.Context): Promise<void> => {
    const { req, res } = ctx;
    const x: Exchange = ctx.state.exchange;
    const head = x.keep('head', receive(req, x.ids));
    const caller = x.keep('caller', await authenticate(head, gw, x.receivedAt));
    if (head.endpoint === 'models') {
      const { input } = x.keep('described', { input: describeBodiless(head, caller, gw.facts) });
      return answerModels(gw, x, head, input, servingPolicy(gw, x, input.bucket), res);
    }
    if (head.endpoint === 'feedback') {
      const said = await readFeedback(req, head, gw.limits);
      x.time('read');
      const { input } = x.keep('described', { input: describeBodiless(head, caller, gw.facts) });
      return answerFeedback(gw, x, said, input, servingPolicy(gw, x, input.bucket), res);
    }
    const call = x.keep('call', await read(req, head, gw.limits));
    const bucket = bucketsOf(head, caller);
    const policy = servingPolicy(gw, x, bucket);
    const { complexity } = policy.data;
    const described = describe(call, head, caller, gw.facts, gw.detector, { complexity, bucket });
    x.keep('described', described);
    const decision = x.keep('decision', decide(described.input, policy));
    if (!decision.allow) throw denial(decision);

    const candidates = candidatesOf(call, decision, policy.data, gw.upstreams);
    const { isBilled } = protocolOf(call.endpoint);
    const boundMicroUsd = isBilled ? costBound(call, candidates, gw.prices(policy), described.input.content) : 0;
    x.reservedMicroUsd = boundMicroUsd;
    const { decisionId } = x.ids;
    x.keep('permit', await admit(decisionId, described.input, decision, boundMicroUsd, gw.limiter, x.receivedAt));
    if (candidates.length === 0) return answerCount(gw, x, call, described.input, res);
    const masked = x.keep('masked', mask(call, described, decision, candidates, gw.openVault));

    // Nothing goes upstream before this is durable (invariant 1).
    await gw.audit.append(intentOf(x), masked.content);
    x.intended = true;
    x.time('intent');

    const answer = await forward(x, masked.candidates, (candidate) => ({
      ...wayTo(candidate, head),
      body: masked.outgoingFor(candidate).body,
    }));
    x.time('forward');
    await respond(gw, x, call, answer, res);
  };

/** The policy of this request, taken once. Throws GatewayError `policy_unavailable` before the first activation. */
const servingPolicy = (gw: Gateway, x: Exchange, bucket: Input['bucket']) => {
  const policy = gw.policies.policyFor(bucket);
  if (!policy) throw new GatewayError('policy_unavailable', 'No policy bundle is active.');
  x.policy = policy;
  return policy;
};

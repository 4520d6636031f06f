import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { replyTo } from './answer.ts';
import { anthropicWire } from './anthropic.ts';
import { completionsWire } from './completions.ts';
import { countTokensWire } from './count-tokens.ts';
import { embeddingsWire } from './embeddings.ts';
import { type Fault, faultIn } from './fault.ts';
import { openAiWire } from './openai.ts';
import { responsesWire } from './responses.ts';
import type { Turn } from './turn.ts';
import { BadRequest, recordOf, type SandboxWire } from './wire.ts';

/** A provider inside this process. */
export interface Sandbox {
  /** http://127.0.0.1:port, without /v1. */
  readonly url: string;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 268_435_456;
/** Until the head and between two pieces of a `sandbox:slow` answer. */
const SLOW_MS = 100;

const WIRES: Record<string, SandboxWire> = {
  '/v1/chat/completions': openAiWire,
  '/v1/responses': responsesWire,
  '/v1/completions': completionsWire,
  '/v1/embeddings': embeddingsWire,
  '/v1/messages': anthropicWire,
  '/v1/messages/count_tokens': countTokensWire,
};

/**
 * Opens a server on a free port of loopback that speaks the APIs of OpenAI and Anthropic, offline and deterministic. It
 * says in every answer that it is a sandbox. Faults on demand: docs/sandbox.md.
 */
export const openSandbox = async (): Promise<Sandbox> => {
  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  server.keepAliveTimeout = 65_000; // longer than the gateway keeps its connections, so that it is never the one to reset
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // It serves its own process only and must not keep it alive.
  server.unref();
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => closeServer(server) };
};

const closeServer = async (server: Server): Promise<void> => {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
};

const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
  response.on('error', () => {});
  const path = request.url?.split('?')[0] ?? '';
  if (request.method === 'GET' && path === '/v1/models') return sendJson(response, 200, MODELS);
  const wire = WIRES[path];
  if (!wire || request.method !== 'POST') {
    return sendJson(response, 404, openAiWire.error(404, `Unknown request: ${request.method} ${path}`, null, '0'));
  }
  const body = await bodyOf(request);
  const id = createHash('sha256').update(body).digest('hex').slice(0, 24);
  response.setHeader(wire.requestIdHeader, `req_sandbox_${id}`);
  let turn: Turn;
  try {
    turn = wire.read(recordOf(parse(body)), request.headers);
  } catch (error) {
    if ((error as { name?: unknown }).name !== 'BadRequest') throw error;
    const { message, param } = error as BadRequest;
    return sendJson(response, 400, wire.error(400, message, param, id));
  }
  await answer(wire, turn, id, response);
};

const answer = async (wire: SandboxWire, turn: Turn, id: string, response: ServerResponse): Promise<void> => {
  const fault = faultIn(turn.prompt, turn.model);
  if (fault?.kind === 'status') return sendStatus(wire, fault.status, id, response);
  if (fault?.kind === 'quota') return sendJson(response, 429, wire.quotaError(id));
  if (fault?.kind === 'hang') return;
  if (fault?.kind === 'reset') return void response.destroy();
  if (fault?.kind === 'slow') await delay(response, SLOW_MS);
  const reply = replyTo(turn);
  if (turn.stream) return sendEvents(response, wire.events(turn, reply, id), fault);
  const whole = JSON.stringify(wire.whole(turn, reply, id));
  sendWhole(response, fault?.kind === 'garbage' ? whole.slice(0, whole.length / 2) : whole, fault);
};

const sendStatus = (wire: SandboxWire, status: number, id: string, response: ServerResponse): void => {
  if (status === 429) response.setHeader('retry-after', '7');
  sendJson(response, status, wire.error(status, `The sandbox was asked to answer ${status}.`, null, id));
};

const sendWhole = (response: ServerResponse, text: string, fault: Fault | null): void => {
  if (fault?.kind !== 'truncate' && fault?.kind !== 'stall') {
    sendText(response, 200, text);
    return;
  }
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.write(text.slice(0, text.length / 2), () => {
    if (fault.kind === 'truncate') response.destroy();
  });
};

/** Sends the events one by one, as fast as the reader takes them. */
const sendEvents = async (response: ServerResponse, events: readonly string[], fault: Fault | null): Promise<void> => {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  const half = Math.floor(events.length / 2);
  for (const [i, event] of events.entries()) {
    if (response.destroyed) return;
    if (i === half && fault?.kind === 'truncate') return void setImmediate(() => response.destroy());
    if (i === half && fault?.kind === 'stall') return;
    const text = i === half && fault?.kind === 'garbage' ? 'data: {"not json\n\n' : event;
    if (!response.write(text)) await drained(response);
    if (fault?.kind === 'slow') await delay(response, SLOW_MS);
    else await new Promise(setImmediate);
  }
  response.end();
};

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    response.once('drain', resolve);
    response.once('close', resolve);
  });

/** Waits, or less when the caller leaves. */
const delay = (response: ServerResponse, ms: number): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      response.off('close', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    response.once('close', done);
  });

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

const parse = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    throw new BadRequest('We could not parse the JSON body of your request.', null);
  }
};

const sendJson = (response: ServerResponse, status: number, body: unknown): void =>
  sendText(response, status, JSON.stringify(body));

const sendText = (response: ServerResponse, status: number, text: string): void => {
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text);
};

const MODELS = { object: 'list', data: [{ id: 'sandbox', object: 'model', created: 0, owned_by: 'sandbox' }] };

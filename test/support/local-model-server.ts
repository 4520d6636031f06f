// A child process: an OpenAI-compatible server (chat completions) around a real model. Says its URL on stdout.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, modelPath] = process.argv.slice(2) as [string, string];

/** What is used of node-llama-cpp, which is not among the dependencies. */
interface Engine {
  getLlama(options: object): Promise<{
    loadModel(options: { modelPath: string }): Promise<{
      createContext(options: { contextSize: number }): Promise<{ getSequence(): Sequence }>;
    }>;
  }>;
  readonly LlamaChat: new (options: { contextSequence: Sequence }) => Chat;
}
interface Sequence {
  /** Forgets what it has read, so that a prompt is counted whole. */
  clearHistory(): Promise<void>;
  readonly tokenMeter: { getState(): { usedInputTokens: number; usedOutputTokens: number } };
}
type Turn = { type: 'system' | 'user'; text: string } | { type: 'model'; response: string[] };
interface Chat {
  generateResponse(
    history: Turn[],
    options: { maxTokens?: number; temperature: number; signal: AbortSignal; onTextChunk(text: string): void },
  ): Promise<{ response: string; metadata: { stopReason: string } }>;
}

interface Body {
  readonly messages: readonly { role: string; content: string | readonly { text: string }[] }[];
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly max_tokens?: number;
  readonly max_completion_tokens?: number;
}

const entry = createRequire(join(folder, 'index.js')).resolve('node-llama-cpp');
const engine = (await import(pathToFileURL(entry).href)) as Engine;
const llama = await engine.getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: 2 });
const model = await llama.loadModel({ modelPath });
const sequence = (await model.createContext({ contextSize: 2048 })).getSequence();

const textOf = (content: Body['messages'][number]['content']): string =>
  typeof content === 'string' ? content : content.map(({ text }) => text).join('');

const historyOf = ({ messages }: Body): Turn[] => {
  const turns = messages.map(({ role, content }): Turn => {
    const text = textOf(content);
    if (role === 'assistant') return { type: 'model', response: [text] };
    return { type: role === 'user' ? 'user' : 'system', text };
  });
  return [...turns, { type: 'model', response: [] }];
};

const answer = async (body: Body, signal: AbortSignal, onText: (text: string) => void) => {
  await sequence.clearHistory();
  const before = sequence.tokenMeter.getState();
  const chat = new engine.LlamaChat({ contextSequence: sequence });
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? 64;
  const { response, metadata } = await chat.generateResponse(historyOf(body), {
    maxTokens,
    temperature: 0,
    signal,
    onTextChunk: onText,
  });
  const after = sequence.tokenMeter.getState();
  const prompt_tokens = after.usedInputTokens - before.usedInputTokens;
  const completion_tokens = after.usedOutputTokens - before.usedOutputTokens;
  return {
    text: response,
    finish_reason: metadata.stopReason === 'maxTokens' ? 'length' : 'stop',
    usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
  };
};

const HEAD = { id: 'chatcmpl-local', created: 1, model: 'smollm2-135m' };

const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
  let raw = '';
  for await (const chunk of req) raw += chunk;
  const body = JSON.parse(raw) as Body;
  const left = new AbortController();
  res.once('close', () => left.abort());
  if (!body.stream) {
    const { text, finish_reason, usage } = await answer(body, left.signal, () => {});
    const choice = { index: 0, message: { role: 'assistant', content: text }, finish_reason };
    res.writeHead(200, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ ...HEAD, object: 'chat.completion', choices: [choice], usage }));
    return;
  }
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  const say = (rest: object): void => {
    res.write(`data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', ...rest })}\n\n`);
  };
  const delta = (delta: object, finish_reason: string | null = null): void =>
    say({ choices: [{ index: 0, delta, finish_reason }] });
  delta({ role: 'assistant', content: '' });
  const { finish_reason, usage } = await answer(body, left.signal, (content) => delta({ content }));
  delta({}, finish_reason);
  if (body.stream_options?.include_usage) say({ choices: [], usage });
  res.end('data: [DONE]\n\n');
};

// One sequence, so one answer at a time.
let last: Promise<void> = Promise.resolve();
const server = createServer((req, res) => {
  last = last.then(() => serve(req, res)).catch((error: unknown) => void res.destroy(error as Error));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './gateway.ts';

/** A recorded answer of a provider, as it goes over the wire. */
export interface Recording {
  readonly name: string;
  readonly dialect: 'openai' | 'anthropic';
  /** The whole body, or the stream. */
  readonly bytes: Buffer;
  /** The parsed body, or the parsed events of the stream. */
  readonly parsed: readonly Record<string, unknown>[];
}

const FOLDER = join(ROOT, 'test/fixtures/provider-recordings');

/** Every unstreamed chat completion and message. */
export const wholeRecordings = (): Recording[] =>
  files('.json').flatMap(({ name, text }) => {
    const body = JSON.parse(text) as Record<string, unknown>;
    if (body.object === 'text_completion') return [];
    const dialect = Array.isArray(body.choices) ? 'openai' : body.type === 'message' ? 'anthropic' : null;
    return dialect === null ? [] : [{ name, dialect, bytes: Buffer.from(text), parsed: [body] }];
  });

/** Every streamed chat completion and message, with the events' names and the end that a recording leaves out. */
export const streamedRecordings = (): Recording[] =>
  files('.chunks.txt').flatMap(({ name, text }): Recording[] => {
    const all = text.split('\n').filter((line) => line.trim() !== '');
    // Some files hold the streams of several requests, one after the other: the first is taken.
    const end = all.findIndex((line) => line.startsWith('{"type":"message_stop"'));
    const lines = end < 0 ? all : all.slice(0, end + 1);
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const first = parsed[0];
    if (first?.type === 'message_start') {
      const stream = lines.map((line, index) => `event: ${String(parsed[index]?.type)}\ndata: ${line}\n\n`).join('');
      return [{ name, dialect: 'anthropic', bytes: Buffer.from(stream), parsed }];
    }
    if (!Array.isArray(first?.choices) || parsed.some(({ object }) => object === 'text_completion')) return [];
    const stream = [...lines, '[DONE]'].map((line) => `data: ${line}\n\n`).join('');
    return [{ name, dialect: 'openai', bytes: Buffer.from(stream), parsed }];
  });

/** Every whole response of OpenAI's responses API. */
export const wholeResponses = (): Recording[] =>
  files('.json').flatMap(({ name, text }): Recording[] => {
    const body = JSON.parse(text) as Record<string, unknown>;
    return body.object === 'response' ? [{ name, dialect: 'openai', bytes: Buffer.from(text), parsed: [body] }] : [];
  });

/** Every streamed response of OpenAI's responses API, with the events' names. */
export const streamedResponses = (): Recording[] =>
  files('.chunks.txt').flatMap(({ name, text }): Recording[] => {
    const all = text.split('\n').filter((line) => line.trim() !== '');
    if (!all[0]?.includes('"response.created"')) return [];
    const end = all.findIndex((line) => /"type":"response\.(?:completed|incomplete|failed)"/.test(line));
    const lines = end < 0 ? all : all.slice(0, end + 1);
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const stream = lines.map((line, index) => `event: ${String(parsed[index]?.type)}\ndata: ${line}\n\n`).join('');
    return [{ name, dialect: 'openai', bytes: Buffer.from(stream), parsed }];
  });

/** The recordings of an endpoint, whole and streamed. */
export const recordingsOf = (
  endpoint: 'chat.completions' | 'messages' | 'responses',
): Record<'whole' | 'streamed', Recording[]> => {
  if (endpoint === 'responses') return { whole: wholeResponses(), streamed: streamedResponses() };
  const dialect = endpoint === 'messages' ? 'anthropic' : 'openai';
  const isOf = (recording: Recording): boolean => recording.dialect === dialect;
  return { whole: wholeRecordings().filter(isOf), streamed: streamedRecordings().filter(isOf) };
};

const files = (ending: string): { name: string; text: string }[] =>
  readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(FOLDER, name), 'utf8') }));

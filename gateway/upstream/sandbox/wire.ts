import type { Reply, Turn } from './turn.ts';

/** A mistake in a request, as the provider would name it. */
export class BadRequest extends Error {
  readonly param: string | null;

  constructor(message: string, param: string | null) {
    super(message);
    this.name = 'BadRequest';
    this.param = param;
  }
}

/** One provider API of the sandbox: reads a request and writes its answer. */
export interface SandboxWire {
  /** Throws BadRequest. */
  read(body: Record<string, unknown>, headers: Readonly<Record<string, string | string[] | undefined>>): Turn;
  /** The answer in one piece. */
  whole(turn: Turn, reply: Reply, id: string): unknown;
  /** The answer as server-sent events, in order, each with its blank line; none where an API has no streams. */
  events(turn: Turn, reply: Reply, id: string): string[];
  /** Headers and body of an error. */
  error(status: number, message: string, param: string | null, id: string): unknown;
  /** The 429 of an account without money. */
  quotaError(id: string): unknown;
  /** The header that carries the provider's request id. */
  readonly requestIdHeader: string;
}

export const stringOr = (value: unknown, other: string): string => (typeof value === 'string' ? value : other);

export const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

export const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

/** The text of a content field: a string, or the text parts of a list. */
export const textOf = (content: unknown): string =>
  typeof content === 'string'
    ? content
    : listOf(content)
        .map((part) => recordOf(part))
        .map((part) =>
          typeof part.text === 'string' ? part.text : part.type === 'tool_result' ? textOf(part.content) : '',
        )
        .filter((text) => text !== '')
        .join('\n');

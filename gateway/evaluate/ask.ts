import type { Suite } from '../types.gen.ts';
import { DEFAULT_OUTPUT_CAP } from './call-bound.ts';

/** A chat request of an evaluation. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly object[];
  readonly parameters: NonNullable<Suite['parameters']>;
}

/** What the gateway answered. */
export interface ChatAnswer {
  readonly text: string;
  readonly ms: number;
  readonly costMicroUsd: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly decisionId: string | null;
}

/** The gateway would not or could not answer; the message is its error. */
export class AskError extends Error {
  override readonly name = 'AskError';
  /** What it cost all the same, millionths of a US dollar. */
  readonly costMicroUsd: number;
  readonly decisionId: string | null;
  /** Whether every further call would fail too: a credential, the gateway away. */
  readonly isFinal: boolean;
  /** Whether it is certain that no model was asked. */
  readonly isUnasked: boolean;

  constructor(message: string, rest: Partial<Omit<AskError, keyof Error>> = {}) {
    super(message);
    this.costMicroUsd = rest.costMicroUsd ?? 0;
    this.decisionId = rest.decisionId ?? null;
    this.isFinal = rest.isFinal ?? false;
    this.isUnasked = rest.isUnasked ?? false;
  }
}

/** Asks a model. The signal ends waiting, not a call under way: that is paid. Rejects with AskError. */
export type Ask = (request: ChatRequest, signal: AbortSignal) => Promise<ChatAnswer>;

/** Where and as whom an evaluation asks. */
export interface GatewayAccess {
  /** Without a path, such as http://127.0.0.1:8080. */
  readonly url: string;
  readonly key: string;
  readonly purpose: NonNullable<Suite['purpose']>;
  /** Name of the suite; of the tag `suite`. */
  readonly suite: string;
}

/** How often a limit is waited for before the call counts as failed. */
const MOST_WAITS = 20;
const LONGEST_WAIT_MS = 60_000;

/** What a request says of itself. */
const headersOf = ({ key, purpose, suite }: GatewayAccess): Record<string, string> => {
  const tags = Object.entries({ ...purpose.tags, suite }).map(([name, value]) => `${name}=${value}`);
  return {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'x-aegis-use-case': purpose.use_case ?? 'evaluation',
    'x-aegis-tags': tags.join(','),
    ...(purpose.workflow === undefined ? {} : { 'x-aegis-workflow': purpose.workflow }),
  };
};

/**
 * The models that the key may use, as the gateway lists them for free; undefined when it may not list any. Rejects with
 * AskError when the gateway is away or knows no such key.
 */
export const permittedModels = async (access: GatewayAccess): Promise<ReadonlySet<string> | undefined> => {
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(`${access.url}/v1/models`, { headers: headersOf(access) });
    text = await answer.text();
  } catch (error) {
    const { cause, message } = error as { cause?: { code?: string }; message?: string };
    throw new AskError(`the gateway at ${access.url} does not answer: ${cause?.code ?? message}`, { isFinal: true });
  }
  if (answer.status === 401) {
    const { code, message } = errorOf(text);
    throw new AskError(`401 ${code}: ${message}`, { isFinal: true });
  }
  if (!answer.ok) return undefined;
  try {
    const { data } = JSON.parse(text) as { data: readonly { id: string }[] };
    return new Set(data.map(({ id }) => id));
  } catch {
    throw new AskError(`${access.url} is no gateway: its list of models is not one`, { isFinal: true });
  }
};

/** Asks through a gateway, by its public API: its policy, limits and ledger apply. A rate limit is waited for, no other error. */
export const askGateway = (access: GatewayAccess): Ask => {
  const { url } = access;
  const headers = headersOf(access);
  const once = async ({ model, messages, parameters }: ChatRequest): Promise<ChatAnswer | number> => {
    const body = JSON.stringify({ max_completion_tokens: DEFAULT_OUTPUT_CAP, ...parameters, model, messages });
    const started = performance.now();
    let answer: Response;
    let text: string;
    try {
      answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body });
      text = await answer.text();
    } catch (error) {
      const { cause, message } = error as { cause?: { code?: string }; message?: string };
      const isUnasked = cause?.code === 'ECONNREFUSED';
      throw new AskError(`the gateway at ${url} does not answer: ${cause?.code ?? message}`, {
        isFinal: true,
        isUnasked,
      });
    }
    const ms = performance.now() - started;
    const known = {
      decisionId: answer.headers.get('x-aegis-decision-id'),
      costMicroUsd: Math.round(Number(answer.headers.get('x-aegis-cost-usd') ?? 0) * 1e6),
    };
    if (!answer.ok) {
      const error = errorOf(text);
      if (answer.status === 429 && error.code === 'rate_limited') return waitOf(answer.headers.get('retry-after'));
      const isFinal = answer.status === 401 || error.code === 'budget_exceeded';
      throw new AskError(`${answer.status} ${error.code}: ${error.message}`, { ...known, isFinal, isUnasked: isFinal });
    }
    // A fallback's answer says nothing of the model that was asked.
    const answered = answer.headers.get('x-aegis-model');
    if (answered !== null && answered !== model) throw new AskError(`${answered} answered in its place`, known);
    return { ...readAnswer(text, known), ms, ...known };
  };
  return async (request, signal) => {
    for (let waits = 0; ; waits++) {
      const answer = await once(request);
      if (typeof answer !== 'number') return answer;
      if (waits === MOST_WAITS)
        throw new AskError('the rate limit did not let it through', { isFinal: true, isUnasked: true });
      await pause(answer, signal);
    }
  };
};

const waitOf = (retryAfter: string | null): number =>
  Math.min(LONGEST_WAIT_MS, Math.max(1, Number(retryAfter) || 1) * 1000);

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new AskError('the run was stopped', { isFinal: true, isUnasked: true }));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });

const errorOf = (text: string): { code: string; message: string } => {
  try {
    const { error } = JSON.parse(text) as { error?: { code?: unknown; type?: unknown; message?: unknown } };
    return { code: String(error?.code ?? error?.type ?? 'error'), message: String(error?.message ?? '') };
  } catch {
    return { code: 'error', message: 'no JSON' };
  }
};

interface Completion {
  choices?: { message?: { content?: unknown; refusal?: unknown } }[];
  usage?: { prompt_tokens?: number; completion_tokens?: number };
}

/** Throws AskError when there is no text; what such an answer cost is `known` all the same. */
const readAnswer = (
  text: string,
  known: Pick<ChatAnswer, 'costMicroUsd' | 'decisionId'>,
): Pick<ChatAnswer, 'text' | 'inputTokens' | 'outputTokens'> => {
  let completion: Completion;
  try {
    completion = JSON.parse(text) as Completion;
  } catch {
    throw new AskError('the answer is not JSON', known);
  }
  const message = completion.choices?.[0]?.message;
  const content = message?.content ?? message?.refusal;
  if (typeof content !== 'string') throw new AskError('the answer has no text', known);
  const { prompt_tokens: inputTokens = 0, completion_tokens: outputTokens = 0 } = completion.usage ?? {};
  return { text: content, inputTokens, outputTokens };
};

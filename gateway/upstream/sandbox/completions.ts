import { replyTo } from './answer.ts';
import { dataEvent, nowS, openAiWire, usageOf } from './openai.ts';
import { countTokens, splitTokens } from './tokens.ts';
import type { Reply, Turn } from './turn.ts';
import { BadRequest, listOf, recordOf, type SandboxWire, stringOr } from './wire.ts';

interface CompletionsTurn extends Turn {
  readonly prompts: readonly Prompt[];
  readonly n: number;
  readonly echo: boolean;
  readonly includeUsage: boolean;
}

/** A prompt; of one in token ids the text is not known. */
interface Prompt {
  readonly text: string;
  readonly tokens: number;
}

/** OpenAI's default, which cuts most answers off. */
const DEFAULT_MAX_TOKENS = 16;
const MOST_CHOICES = 128;

/** OpenAI's older completions: https://platform.openai.com/docs/api-reference/completions. */
export const completionsWire: SandboxWire = {
  ...openAiWire,

  read: (body): CompletionsTurn => {
    if (typeof body.model !== 'string') throw new BadRequest('you must provide a model parameter', 'model');
    const prompts = promptsOf(body.prompt ?? '<|endoftext|>');
    const n = count(body, 'n');
    if (body.best_of !== undefined && body.best_of !== null && count(body, 'best_of') < n) {
      throw new BadRequest("Invalid value for 'best_of': it must be at least 'n'.", 'best_of');
    }
    const max = body.max_tokens ?? DEFAULT_MAX_TOKENS;
    if (!Number.isInteger(max) || (max as number) < 0) throw new BadRequest("Invalid 'max_tokens'.", 'max_tokens');
    const texts = prompts.map(({ text }) => text);
    return {
      model: body.model,
      prompt: texts.join('\n'),
      texts,
      toolResult: null,
      maxTokens: max as number,
      stop: typeof body.stop === 'string' ? [body.stop] : listOf(body.stop).map((stop) => stringOr(stop, '')),
      stream: body.stream === true,
      tools: [],
      forcedTool: null,
      jsonSchema: null,
      prompts,
      n,
      echo: body.echo === true,
      includeUsage: recordOf(body.stream_options).include_usage === true,
    };
  },

  whole: (turn, _reply, id) => {
    const own = turn as CompletionsTurn;
    const choices = choicesOf(own);
    return {
      ...headOf(own, id),
      choices: choices.map(({ prompt, reply, index }) => ({
        text: `${own.echo ? prompt.text : ''}${reply.text}`,
        index,
        logprobs: null,
        finish_reason: finishOf(reply),
      })),
      usage: totalOf(own, choices),
    };
  },

  events: (turn, _reply, id) => {
    const own = turn as CompletionsTurn;
    const choices = choicesOf(own);
    const head = headOf(own, id);
    const usage = own.includeUsage ? { usage: null } : {};
    const events: string[] = [];
    for (const { prompt, reply, index } of choices) {
      const event = (text: string, finish: string | null): string =>
        dataEvent({ ...head, choices: [{ text, index, logprobs: null, finish_reason: finish }], ...usage });
      if (own.echo) events.push(event(prompt.text, null));
      for (const piece of splitTokens(reply.text)) events.push(event(piece, null));
      events.push(event('', finishOf(reply)));
    }
    if (own.includeUsage) events.push(dataEvent({ ...head, choices: [], usage: totalOf(own, choices) }));
    events.push('data: [DONE]\n\n');
    return events;
  },
};

interface Choice {
  readonly prompt: Prompt;
  readonly reply: Reply;
  readonly index: number;
}

/** `n` answers to each prompt, all the same: the sandbox has one answer to a prompt. */
const choicesOf = (turn: CompletionsTurn): Choice[] =>
  turn.prompts.flatMap((prompt, order) => {
    const reply = replyTo({ ...turn, prompt: prompt.text, texts: [prompt.text] });
    return Array.from({ length: turn.n }, (_, choice) => ({ prompt, reply, index: order * turn.n + choice }));
  });

const headOf = (turn: Turn, id: string) => ({
  id: `cmpl-sandbox-${id}`,
  object: 'text_completion',
  created: nowS(),
  model: turn.model,
  system_fingerprint: 'sandbox',
});

const totalOf = ({ prompts }: CompletionsTurn, choices: readonly Choice[]) =>
  usageOf({
    inputTokens: prompts.reduce((sum, { tokens }) => sum + tokens, 0),
    outputTokens: choices.reduce((sum, { reply }) => sum + reply.outputTokens, 0),
  });

const finishOf = (reply: Reply): string => (reply.finish === 'length' ? 'length' : 'stop');

const count = (body: Record<string, unknown>, name: string): number => {
  const value = body[name] ?? 1;
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > MOST_CHOICES) {
    throw new BadRequest(`Invalid value for '${name}': expected an integer from 1 to ${MOST_CHOICES}.`, name);
  }
  return value as number;
};

const promptsOf = (value: unknown): Prompt[] => {
  const list = Array.isArray(value) && typeof value[0] !== 'number' ? value : [value];
  if (list.length === 0) throw new BadRequest("Invalid value for 'prompt': it is empty.", 'prompt');
  return list.map((item: unknown): Prompt => {
    if (typeof item === 'string') return { text: item, tokens: countTokens(item) };
    if (Array.isArray(item) && item.every((id) => Number.isSafeInteger(id) && id >= 0)) {
      return { text: '', tokens: item.length };
    }
    throw new BadRequest("Invalid value for 'prompt': expected text or token ids.", 'prompt');
  });
};

import { isObject, type Json } from '../fields.ts';
import type { EventTranslation, TranslationContext } from '../translation.ts';
import { responseEnd, responseShell, responseUsage } from './responses-to-chat-answer.ts';
import { CallItem } from './responses-to-chat-call-item.ts';
import {
  annotationsOf,
  type CallPiece,
  callPieces,
  partsOf,
  type ReasoningPiece,
  reasoningOf,
} from './responses-to-chat-delta.ts';
import type { OpenItem } from './responses-to-chat-item.ts';
import { MessageItem } from './responses-to-chat-message-item.ts';
import { callOf, type OpenCall } from './responses-to-chat-open-calls.ts';
import { ReasoningItem } from './responses-to-chat-reasoning-item.ts';
import { type CallerTools, callerTools } from './responses-to-chat-tools.ts';

/** What makes a Response out of the chunks of a chat completion. */
export interface ResponseEvents extends EventTranslation {
  /** The whole Response, in place of what end() says. */
  response(): Json;
}

/** Opens the reader of one answer. */
export const createResponseEvents = (context: TranslationContext): ResponseEvents => new Events(context);

class Events implements ResponseEvents {
  readonly #context: TranslationContext;
  readonly #tools: CallerTools;
  readonly #shell: Json;
  readonly #output: Json[] = [];
  #events: Json[] = [];
  #sequence = 0;
  #items = 0;
  #isStarted = false;
  /** The reasoning or the message that is being said. Only calls stay open beside each other. */
  #current: ReasoningItem | MessageItem | null = null;
  readonly #calls: OpenCall[] = [];
  #finishReason: string | null = null;

  constructor(context: TranslationContext) {
    this.#context = context;
    this.#tools = callerTools(context.body);
    this.#shell = responseShell(context);
  }

  push(event: Json): Json[] {
    if (isObject(event.usage)) this.#shell.usage = responseUsage(event.usage) ?? this.#shell.usage;
    if (typeof event.service_tier === 'string') this.#shell.service_tier = event.service_tier;
    // Azure's first chunk tells of the prompt alone and has neither model nor choices.
    if (Array.isArray(event.choices)) {
      for (const choice of event.choices) if (isObject(choice)) this.#choice(choice, event);
    }
    return this.#take();
  }

  end(): Json[] {
    const response = this.#finished();
    this.#emit(`response.${String(response.status)}`, { response });
    return this.#take();
  }

  response(): Json {
    return this.#finished();
  }

  #choice(choice: Json, event: Json): void {
    // One choice was asked for.
    if ((choice.index ?? 0) !== 0) return;
    if (!this.#isStarted) this.#start(event);
    if (isObject(choice.delta)) this.#delta(choice.delta, choice.logprobs);
    if (typeof choice.finish_reason === 'string') this.#finishReason = choice.finish_reason;
  }

  #start(event: Json): void {
    this.#isStarted = true;
    if (typeof event.model === 'string' && event.model !== '') this.#shell.model = event.model;
    if (typeof event.created === 'number' && event.created > 0) this.#shell.created_at = Math.floor(event.created);
    this.#emit('response.created', { response: { ...this.#shell, usage: null } });
    this.#emit('response.in_progress', { response: { ...this.#shell, usage: null } });
  }

  #delta(delta: Json, logprobs: unknown): void {
    const reasoning = reasoningOf(delta);
    if (reasoning) this.#reasoning(reasoning);
    const { content, refusal } = delta;
    const probable = isObject(logprobs) && Array.isArray(logprobs.content) ? logprobs.content : [];
    if (typeof content === 'string') this.#text(content, probable);
    else if (Array.isArray(content)) {
      for (const { kind, text } of partsOf(content)) {
        if (kind === 'text') this.#text(text, []);
        else this.#reasoning({ text, field: 'thinking', details: [] });
      }
    }
    if (typeof refusal === 'string' && refusal !== '') this.#message().refusal(refusal);
    for (const annotation of annotationsOf(delta.annotations)) this.#message().annotation(annotation);
    if (delta.tool_calls || delta.function_call) for (const piece of callPieces(delta)) this.#call(piece);
  }

  #reasoning(piece: ReasoningPiece): void {
    if (!(this.#current instanceof ReasoningItem)) {
      this.#closeCurrent('completed');
      const { id, body } = this.#context;
      this.#current = new ReasoningItem(this.#items++, id, String(body.model), this.#emit);
    }
    this.#current.push(piece);
  }

  #text(text: string, logprobs: readonly unknown[]): void {
    if (text !== '') this.#message().text(text, logprobs);
  }

  #message(): MessageItem {
    if (this.#current instanceof MessageItem) return this.#current;
    this.#closeCurrent('completed');
    this.#current = new MessageItem(this.#items++, this.#context.id, this.#emit);
    return this.#current;
  }

  #call(piece: CallPiece): void {
    const call = callOf(this.#calls, piece);
    if (call.item) {
      call.item.push(piece.arguments);
      return;
    }
    call.first = call.first
      ? {
          ...call.first,
          id: call.first.id || piece.id,
          name: piece.name,
          arguments: call.first.arguments + piece.arguments,
        }
      : piece;
    if (call.first.name !== '') this.#openCall(call, call.first);
  }

  #openCall(call: OpenCall, first: CallPiece): void {
    this.#closeCurrent('completed');
    const tool = this.#tools.byName.get(first.name);
    call.item = new CallItem(this.#items++, this.#context.id, first, tool, this.#emit);
    call.item.push(first.arguments);
  }

  #closeCurrent(status: 'completed' | 'incomplete'): void {
    const current = this.#current;
    this.#current = null;
    if (current) this.#output[current.index] = current.close(status);
  }

  #finished(): Json {
    if (!this.#isStarted) this.#start({});
    // A call whose name never came is passed on as it is.
    for (const call of this.#calls) if (!call.item && call.first) this.#openCall(call, call.first);
    const end = responseEnd(this.#finishReason);
    const open: OpenItem[] = this.#calls.flatMap(({ item }) => item ?? []);
    if (this.#current) open.push(this.#current);
    for (const item of open.sort((a, b) => a.index - b.index)) {
      const isCut = end.status !== 'completed' && item.index === this.#items - 1;
      this.#output[item.index] = item.close(isCut ? 'incomplete' : 'completed');
    }
    this.#current = null;
    return { ...this.#shell, ...end, output: this.#output };
  }

  readonly #emit = (type: string, members: Json): void => {
    this.#events.push({ type, sequence_number: this.#sequence++, ...members });
  };

  #take(): Json[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

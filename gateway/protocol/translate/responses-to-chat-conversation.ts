import { GatewayError } from '../../errors.ts';
import { append } from '../append.ts';
import type { Json } from '../fields.ts';
import { contentOf } from './responses-to-chat-content.ts';
import { addDetails, type KeptReasoning } from './responses-to-chat-reasoning.ts';

/** The output of a call: what its tool message says, and what such a message cannot hold. */
export interface Output {
  readonly content: string | Json[];
  readonly attached: readonly Json[];
}

/** What the model said in a row. */
interface Turn {
  readonly texts: Json[];
  readonly refusals: string[];
  readonly calls: { readonly said: Json; readonly param: string }[];
  readonly details: Json[];
  readonly reasoning: { readonly field: KeptReasoning['field']; text: string }[];
}

/**
 * Gathers messages in the order that chat completions want. Throws GatewayError `invalid_field` for calls without
 * outputs, and outputs without calls.
 */
export class Conversation {
  readonly #messages: Json[] = [];
  readonly #model: unknown;
  readonly #outputs: Map<string, Output[]>;
  /** How many calls of an id have no output yet. */
  readonly #called = new Map<string, number>();
  #opening: Json[] | null = [];
  #turn: Turn | null = null;

  /** `outputs` are those of all calls by call id, in order: they are taken out as their calls come. */
  constructor(model: unknown, outputs: Map<string, Output[]>) {
    this.#model = model;
    this.#outputs = outputs;
  }

  system(parts: readonly Json[]): void {
    if (this.#opening) append(this.#opening, parts);
    else this.#push({ role: 'system', content: contentOf(parts) });
  }

  user(parts: readonly Json[]): void {
    this.#push({ role: 'user', content: contentOf(parts) });
  }

  assistant(texts: readonly Json[], refusals: readonly string[]): void {
    const turn = this.#said();
    append(turn.texts, texts);
    append(turn.refusals, refusals);
  }

  call(id: string, name: string, args: string, param: string): void {
    this.#said().calls.push({ said: { id, type: 'function', function: { name, arguments: args } }, param });
    this.#called.set(id, (this.#called.get(id) ?? 0) + 1);
  }

  /** The place of an output in the input: its call must have come before. */
  output(id: string, param: string): void {
    const left = this.#called.get(id) ?? 0;
    if (left === 0) {
      throw new GatewayError('invalid_field', `No tool call found for the output with call_id '${id}'.`, {
        param: `${param}.call_id`,
      });
    }
    this.#called.set(id, left - 1);
    this.#endTurn();
  }

  /** Reasoning goes back to the model that it came from, in the field it came in. */
  reasoning({ model, field, details }: KeptReasoning, text: string): void {
    if (model !== this.#model) return;
    const turn = this.#said();
    if (details.length > 0) addDetails(turn.details, details);
    else if (field !== null && text !== '') turn.reasoning.push({ field, text });
  }

  end(): Json[] {
    this.#endTurn();
    this.#endOpening();
    return this.#messages;
  }

  #said(): Turn {
    this.#endOpening();
    this.#turn ??= { texts: [], refusals: [], calls: [], details: [], reasoning: [] };
    return this.#turn;
  }

  #push(message: Json): void {
    this.#endTurn();
    this.#endOpening();
    this.#messages.push(message);
  }

  #endOpening(): void {
    const parts = this.#opening ?? [];
    this.#opening = null;
    if (parts.length > 0) this.#messages.push({ role: 'system', content: contentOf(parts) });
  }

  #endTurn(): void {
    const turn = this.#turn;
    this.#turn = null;
    // Reasoning that led to nothing is not sent on: an assistant message says something.
    if (!turn || turn.texts.length + turn.refusals.length + turn.calls.length === 0) return;
    this.#messages.push(assistantMessage(turn));
    const attached: Json[] = [];
    for (const { said, param } of turn.calls) {
      const id = said.id as string;
      const output = this.#outputs.get(id)?.shift();
      if (!output) {
        throw new GatewayError('invalid_field', `No tool output found for the tool call with call_id '${id}'.`, {
          param,
        });
      }
      this.#messages.push({ role: 'tool', tool_call_id: id, content: output.content });
      if (output.attached.length > 0) {
        attached.push({ type: 'text', text: `The files of the output of tool call ${id}:` });
        append(attached, output.attached);
      }
    }
    if (attached.length > 0) this.#messages.push({ role: 'user', content: attached });
  }
}

const assistantMessage = ({ texts, refusals, calls, details, reasoning }: Turn): Json => {
  const thoughts = reasoning.filter(({ field }) => field === 'thinking').map(({ text }) => thinkingPart(text));
  const parts = [...thoughts, ...texts];
  const isSilent = parts.length === 0 && (calls.length > 0 || refusals.length > 0);
  const message: Json = { role: 'assistant', content: isSilent ? null : contentOf(parts) };
  if (refusals.length > 0) message.refusal = refusals.join('\n');
  for (const { field, text } of reasoning) {
    if (field === null || field === 'thinking') continue;
    message[field] = message[field] === undefined ? text : `${String(message[field])}\n\n${text}`;
  }
  if (details.length > 0) message.reasoning_details = details;
  if (calls.length > 0) message.tool_calls = calls.map(({ said }) => said);
  return message;
};

/** Mistral's. */
const thinkingPart = (text: string): Json => ({ type: 'thinking', thinking: [{ type: 'text', text }] });

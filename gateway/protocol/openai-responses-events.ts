import { isObject, type Json } from './fields.ts';
import { memberText } from './openai-chat-answer.ts';
import { itemTexts, partText, responseTexts } from './openai-responses-answer.ts';
import type { AnswerEvents, AnswerText } from './protocol.ts';

/** A text that comes in pieces: where its index in the item is, the member that has it whole, and what it is. */
interface Channel {
  readonly index: 'content_index' | 'summary_index' | 'command_index' | null;
  readonly whole: string;
  readonly place: AnswerText['place'];
  readonly json?: true;
}

/** By the name of its events: `response.<name>.delta` and `.done`. */
const CHANNELS: Readonly<Record<string, Channel>> = {
  output_text: { index: 'content_index', whole: 'text', place: 'text' },
  refusal: { index: 'content_index', whole: 'refusal', place: 'text' },
  reasoning_text: { index: 'content_index', whole: 'text', place: 'text' },
  reasoning_summary_text: { index: 'summary_index', whole: 'text', place: 'text' },
  function_call_arguments: { index: null, whole: 'arguments', place: 'tool_arguments', json: true },
  custom_tool_call_input: { index: null, whole: 'input', place: 'tool_arguments' },
  apply_patch_call_operation_diff: { index: null, whole: 'diff', place: 'tool_arguments' },
  shell_call_command: { index: 'command_index', whole: 'command', place: 'tool_arguments' },
};

const PREFIX = 'response.';

/**
 * A reader of a responses stream. What came in pieces comes again whole, in up to four later events, each time as a
 * text of its own that begins and ends in its event. Channels go by position: some servers give an item another id in
 * every event.
 */
export const responsesAnswerEvents = (): AnswerEvents => new ResponsesEvents();

class ResponsesEvents implements AnswerEvents {
  /** The id under which the last piece of each open channel came; null where it had none. */
  readonly #open = new Map<string, string | null>();
  /** Those that the last event ended: what was held back of them may still be written. */
  #ended = new Map<string, string | null>();
  /** Channels that have said something. */
  readonly #said = new Set<string>();
  #sequence = 0;

  read(event: unknown): { pieces: readonly AnswerText[]; ended: readonly string[] } {
    if (this.#ended.size > 0) this.#ended = new Map();
    if (!isObject(event) || typeof event.type !== 'string') return NOTHING;
    if (Number.isSafeInteger(event.sequence_number)) this.#sequence = event.sequence_number as number;
    if (!event.type.startsWith(PREFIX)) return NOTHING;
    const dot = event.type.lastIndexOf('.');
    const name = event.type.slice(PREFIX.length, dot);
    const step = event.type.slice(dot + 1);
    const channel = Object.hasOwn(CHANNELS, name) ? CHANNELS[name] : undefined;
    if (channel) return this.#readChannel(event, name, step, channel);
    switch (name) {
      case 'content_part':
        return this.#readPart(event, step, event.content_index);
      case 'reasoning_summary_part':
        return this.#readPart(event, step, event.summary_index);
      case 'output_item': {
        const index = indexOf(event.output_index);
        const pieces = this.#whole((collect) => itemTexts(event.item, index, collect));
        return this.#ending(pieces, step === 'done' ? this.#openAt(index) : []);
      }
      default:
        if (!isObject(event.response)) return NOTHING;
        return this.#ending(
          this.#whole((collect) => responseTexts(event.response, collect)),
          LAST.has(step) ? this.open() : [],
        );
    }
  }

  open(): readonly string[] {
    return [...this.#open.keys()];
  }

  write(channel: string, text: string): string {
    const [name, output, index] = channel.split(' ') as [string, string, string];
    const type = `${PREFIX}${name}.delta`;
    const id = this.#open.get(channel) ?? this.#ended.get(channel) ?? null;
    const key = CHANNELS[name]!.index;
    const event = {
      type,
      sequence_number: this.#sequence,
      ...(id === null ? {} : { item_id: id }),
      output_index: Number(output),
      ...(key === null ? {} : { [key]: Number(index) }),
      delta: text,
      ...(name === 'output_text' ? { logprobs: [] } : {}),
    };
    return `event: ${type}\ndata: ${JSON.stringify(event)}\n\n`;
  }

  #readChannel(event: Json, name: string, step: string, { index, whole, place, json }: Channel): Read {
    const channel = `${name} ${indexOf(event.output_index)} ${index === null ? '-' : indexOf(event[index])}`;
    if (step === 'done') {
      const pieces = this.#whole((collect) => {
        if (typeof event[whole] === 'string') collect(memberText(event, whole, channel, place, json));
      });
      return this.#ending(pieces, this.#open.has(channel) ? [channel] : []);
    }
    // A command is announced by an event that may have its start.
    const key = step === 'delta' ? 'delta' : whole;
    if (typeof event[key] !== 'string' || event[key] === '') return NOTHING;
    return this.#piece(event, memberText(event, key, channel, place, json));
  }

  /** A part is announced with its start, which is empty at OpenAI, and comes whole when it is done. */
  #readPart(event: Json, step: string, place: unknown): Read {
    const index = indexOf(event.output_index);
    const at = indexOf(place);
    if (step === 'done') {
      const pieces = this.#whole((collect) => partText(event.part, index, at, collect));
      return this.#ending(
        pieces,
        pieces.flatMap(({ of }) => (this.#open.has(of) ? [of] : [])),
      );
    }
    const texts: AnswerText[] = [];
    partText(event.part, index, at, (text) => texts.push(text));
    const text = texts[0];
    return text === undefined || text.value === '' ? NOTHING : this.#piece(event, text);
  }

  #piece(event: Json, text: AnswerText): Read {
    this.#said.add(text.channel);
    this.#open.set(text.channel, typeof event.item_id === 'string' ? event.item_id : null);
    return { pieces: [text], ended: [] };
  }

  /** Whole texts of one event, each a channel of its own. */
  #whole(read: (collect: (text: AnswerText) => void) => void): WholeText[] {
    const texts: WholeText[] = [];
    read((text) => {
      const of = text.channel;
      const isRepeat = text.isRepeat === true || this.#said.has(of);
      if (text.value !== '') this.#said.add(of);
      texts.push({ ...text, channel: `whole ${texts.length} ${of}`, isRepeat, of });
    });
    return texts;
  }

  #openAt(index: number): string[] {
    const open: string[] = [];
    for (const channel of this.#open.keys()) if (channel.split(' ', 2)[1] === String(index)) open.push(channel);
    return open;
  }

  #ending(pieces: readonly WholeText[], channels: readonly string[]): Read {
    for (const channel of channels) {
      this.#ended.set(channel, this.#open.get(channel) ?? null);
      this.#open.delete(channel);
    }
    return { pieces, ended: [...channels, ...pieces.map(({ channel }) => channel)] };
  }
}

type Read = ReturnType<AnswerEvents['read']>;
/** A whole text, and the channel in which its pieces came. */
type WholeText = AnswerText & { readonly of: string };

const NOTHING: Read = { pieces: [], ended: [] };

/** The last step of a response's events. */
const LAST: ReadonlySet<string> = new Set(['completed', 'incomplete', 'failed', 'cancelled']);

const indexOf = (value: unknown): number => (Number.isSafeInteger(value) ? (value as number) : 0);

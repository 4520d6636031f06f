import type { Json } from './fields.ts';
import type { Endpoint } from './protocol.ts';

/** What a translator knows of a call beside its body. */
export interface TranslationContext {
  /** The caller's body as the gateway sent it on: masked and edited, in the caller's own words. For reading only. */
  readonly body: Json;
  /** Id of the answer where the upstream gives none: unique, without a prefix, letters and digits. */
  readonly id: string;
  /** Seconds since 1970, for formats that tell when an answer was made. */
  readonly created: number;
  /** Whether the caller gets the usage of a stream (`stream_options.include_usage`; true where it always comes). */
  readonly includeUsage: boolean;
}

/**
 * One wire format said in another: the caller's endpoint `from`, the upstream's endpoint `to`. docs/translation.md has
 * every mapping; what is not there is refused. Pure functions of their arguments.
 */
export interface Translation {
  readonly from: Endpoint;
  readonly to: Endpoint;
  /**
   * The caller's body as the upstream's. Throws GatewayError `invalid_field` with `param` for what cannot be said
   * there, fields unknown to the table included. Neither argument nor result shares what is changed.
   */
  request(body: Json): Json;
  /** A whole answer of the upstream, status 2xx, as the caller's. */
  answer(body: Json, context: TranslationContext): Json;
  /** A reader of one streamed answer. */
  events(context: TranslationContext): EventTranslation;
}

/**
 * Translates a stream event by event. An error said in the stream is not given to it: the relay says that itself.
 * Neither call throws on an event it does not know: what means nothing to the caller is left out.
 */
export interface EventTranslation {
  /** The caller's events for one parsed event of the upstream that is not the terminal marker `[DONE]`. */
  push(event: Json): Json[];
  /**
   * The upstream's terminal event has come (after `push` of it, where it is an event): what is left to say, the
   * caller's own terminal event last where it is one (`message_stop`, `response.completed`; `[DONE]` is not). Held
   * until the outcome is durable. A stream that breaks never gets here.
   */
  end(): Json[];
}

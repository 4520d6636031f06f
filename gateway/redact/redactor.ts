import type { Decision } from '../types.gen.ts';

export type Entity = Decision['redact'][number]['entity'];
export type RedactRule = Decision['redact'][number];

/** A detected value: `start`..`end` are UTF-16 offsets into the text that was given. Findings never overlap. */
export interface Finding {
  readonly entity: Entity;
  readonly start: number;
  readonly end: number;
  /** For `api_key`: whose, such as `openai`, `aws`, `github`. */
  readonly kind?: string;
}

/**
 * Finds personal data and credentials in a text. Linear in the text's length whatever the text. A remote detector may
 * answer later; the built-in one answers at once, which keeps the hot path free of a turn of the event loop.
 */
export interface Detector {
  readonly name: string;
  detect(text: string): Finding[];
}

/**
 * The values taken out of one request, and the way back. Placeholders are a keyed hash of scope and value: the same
 * value has the same placeholder throughout a conversation, and nobody without the key can make one.
 */
export interface Vault {
  /** Number of placeholders that can be restored. */
  readonly size: number;
  /** The replacement of a found value under a rule: placeholder, mask, hash or nothing. */
  replace(value: string, entity: Entity, rule: RedactRule): string;
  /** Restores this request's own placeholders in a whole text. `place` decides what may be restored there. */
  restore(text: string, place: Place, encode?: EncodeValue): string;
  /** A restorer for a text that comes in pieces. It holds back a tail that could be the start of a placeholder. */
  restorer(place: Place, encode?: EncodeValue): TextRestorer;
}

/** How a restored value is written where it lands, such as escaped for the JSON text around it. Default: as it is. */
export type EncodeValue = (value: string) => string;

/**
 * Where a text stands in an answer. Links are recognised in both, and restored only when the rule says so: a link in
 * tool arguments needs both `tool_arguments` and `links`.
 */
export type Place = 'text' | 'tool_arguments';

export interface TextRestorer {
  /** The next piece; gives what can be said for sure so far. */
  push(piece: string): string;
  /** The end of the text; gives what was held back. */
  flush(): string;
}

/**
 * Opens the vault of one request. `scope` is the conversation: org, user and session. `taken` tells whether the caller's
 * texts already hold a string (the last part of a placeholder, 13 characters): such a placeholder is not made, so that
 * one which the caller typed restores nothing. It is asked once or twice a value. Without it nothing is taken.
 */
export type OpenVault = (scope: string, taken?: (id: string) => boolean) => Vault;

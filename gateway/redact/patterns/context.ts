/** How far before a value a word may stand that says what the value is. */
const REACH = 48;
/** No word is longer, so that one across the seam of two searches is seen. */
const LONGEST_WORD = 16;

/**
 * Whether one of `words` stands shortly before a position. For positions that only grow: what was searched is not
 * searched again, so all questions about one text together cost one pass.
 */
export class WordsBefore {
  readonly #text: string;
  readonly #words: RegExp;
  #searched = 0;
  #last = Number.NEGATIVE_INFINITY;

  /** `words` must be global. */
  constructor(text: string, words: RegExp) {
    this.#text = text;
    this.#words = words;
  }

  at(position: number): boolean {
    const from = Math.max(0, position - REACH, this.#searched - LONGEST_WORD);
    for (const match of this.#text.slice(from, position).matchAll(this.#words)) this.#last = from + match.index;
    this.#searched = position;
    return this.#last >= position - REACH;
  }
}

/** The same for a position that stands alone. */
export const saidBefore = (text: string, position: number, words: RegExp): boolean =>
  words.test(text.slice(Math.max(0, position - REACH), position));

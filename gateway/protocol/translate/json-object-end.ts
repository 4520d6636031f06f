/** Tells, while a JSON object comes in pieces, when it is whole. Text that is no object never is. */
export class JsonObjectEnd {
  #depth = 0;
  #inString = false;
  #isEscaped = false;
  isWhole = false;

  feed(text: string): void {
    if (this.isWhole) return;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (this.#inString) this.#string(code);
      else if (code === QUOTE) this.#inString = true;
      else if (code === BRACE || code === BRACKET) this.#depth++;
      else if ((code === END_BRACE || code === END_BRACKET) && --this.#depth === 0) {
        this.isWhole = true;
        return;
      }
    }
  }

  #string(code: number): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (code === BACKSLASH) this.#isEscaped = true;
    else if (code === QUOTE) this.#inString = false;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACKET = 0x5b;
const END_BRACKET = 0x5d;
const BRACE = 0x7b;
const END_BRACE = 0x7d;

import { createTagTracker } from './tag-tracker.ts';

const MAILTO = 'mailto:';

const isSpace = (c: string): boolean => c === ' ' || c === '\n' || c === '\t' || c === '\r' || c === '\f';
const isLetter = (c: string): boolean => (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

/**
 * Follows a text one character at a time and knows whether the next one would stand in a link: a bare URL, the target of
 * a Markdown link or image, a URL in angle brackets, or an HTML attribute that loads. State is a few words, so a link
 * may begin any number of pieces before. In doubt it says link: then a placeholder stays, and nothing leaks.
 *
 * A bare URL ends at white space or `<`, as GitHub's autolinks do, and not at a quote or bracket that a renderer might
 * take into the link. Only in a JSON text (one that starts with `{` or `[{`) does the end of the string end it.
 */
export class LinkTracker {
  /** The word since the last white space or `<` has become a URL. */
  #url = false;
  /** That word started with `<`: the URL goes on to `>`, spaces included. */
  #angle = false;
  /** Depth of brackets in a Markdown link target; 0 outside. */
  #target = 0;
  #targetAngle = false;
  readonly #tag = createTagTracker();
  /** Letters since the last dot of the word, -1 without one. Two or more make what precedes a `/` look like a host. */
  #label = -1;
  /** How far the word goes along `mailto:` and `www.`. */
  #mailto = 0;
  #www = 0;
  #json: 'unknown' | 'array' | 'yes' | 'no' = 'unknown';
  /** The last character, backslashes left out. */
  #previous = '';
  #escaped = false;
  /** The digits so far of a `\u0000` escape of a JSON text; undefined outside one. */
  #hex: string | undefined;

  /** Whether a character put next would be part of a link. */
  get inside(): boolean {
    return this.#url || this.#target > 0 || this.#tag.inLoadingValue();
  }

  /** Follows `text` from `from` up to `to`. */
  feed(text: string, from: number, to: number): void {
    for (let at = from; at < to; at++) this.#decode(text.charAt(at));
  }

  /** In a JSON text the characters of a string are those its escapes stand for: `\/\/` and `\u002f\u002f` are `//`. */
  #decode(c: string): void {
    if (this.#json === 'unknown' || this.#json === 'array') this.#recogniseJson(c);
    if (this.#hex !== undefined) {
      this.#hex += c;
      if (this.#hex.length < 4) return;
      const code = Number.parseInt(this.#hex, 16);
      this.#hex = undefined;
      this.#follow(Number.isNaN(code) ? ' ' : String.fromCharCode(code), true);
      return;
    }
    const escaped = this.#escaped;
    this.#escaped = c === '\\' && !escaped;
    if (this.#escaped) return;
    if (!escaped || this.#json !== 'yes') this.#follow(c, escaped);
    else if (c === 'u') this.#hex = '';
    else this.#follow('nrtf'.includes(c) ? '\n' : c, true);
  }

  #recogniseJson(c: string): void {
    if (isSpace(c)) return;
    if (c === '{') this.#json = 'yes';
    else this.#json = c === '[' && this.#json === 'unknown' ? 'array' : 'no';
  }

  #follow(c: string, escaped: boolean): void {
    this.#tag.follow(c);
    if (this.#target > 0) this.#inTarget(c, escaped);
    else if (c === '(' && this.#previous === ']' && !escaped) {
      this.#target = 1;
      this.#targetAngle = false;
    }
    this.#inWord(c, escaped);
    this.#previous = c;
  }

  #endWord(): void {
    this.#url = false;
    this.#angle = false;
    this.#label = -1;
    this.#mailto = 0;
    this.#www = 0;
  }

  #inWord(c: string, escaped: boolean): void {
    if (c === '<') {
      this.#endWord();
      this.#angle = true;
    } else if (isSpace(c)) {
      // `<https://… …>` may be a link's target with spaces (CommonMark 6.3); it ends with its line at the latest.
      if (!(this.#url && this.#angle) || c === '\n') this.#endWord();
    } else if ((c === '>' && this.#angle) || (c === '"' && !escaped && this.#json === 'yes')) {
      this.#endWord();
    } else if (!this.#url) {
      this.#url = this.#becomesUrl(c);
    }
  }

  #becomesUrl(c: string): boolean {
    if (c === '/' && this.#previous === '/') return true;
    if ((c === '/' || c === '?' || c === '#') && this.#label >= 2) return true;
    if (c === '.' && this.#www >= 3) return true;
    if (c === '.') this.#label = 0;
    else if (this.#label >= 0) this.#label = isLetter(c) ? this.#label + 1 : -1;
    this.#www = c === 'w' || c === 'W' ? this.#www + 1 : 0;
    this.#mailto = c.toLowerCase() === MAILTO.charAt(this.#mailto) ? this.#mailto + 1 : c === 'm' || c === 'M' ? 1 : 0;
    return this.#mailto === MAILTO.length;
  }

  #inTarget(c: string, escaped: boolean): void {
    if (c === '\n' && this.#previous === '\n')
      this.#target = 0; // a blank line ends the paragraph: there was no link
    else if (escaped) return;
    else if (c === '<' && (this.#previous === '(' || isSpace(this.#previous))) this.#targetAngle = true;
    else if (c === '>') this.#targetAngle = false;
    else if (this.#targetAngle) return;
    else if (c === '(') this.#target++;
    else if (c === ')') this.#target--;
  }
}

/** Attributes that a page loads, sends to or runs without a word from the reader (HTML living standard); `on…` too. */
const LOADING: ReadonlySet<string> = new Set(
  (
    'action archive background cite classid codebase content data formaction href icon imagesrcset longdesc manifest ' +
    'ping poster profile src srcdoc srcset style usemap xlink:href'
  ).split(' '),
);

/** Longer than any loading attribute. */
const NAME_LIMIT = 16;

type State = 'outside' | 'opened' | 'tag name' | 'attributes' | 'before value' | 'value';

const isSpace = (c: string): boolean => c === ' ' || c === '\n' || c === '\t' || c === '\r' || c === '\f';
const isLetter = (c: string): boolean => (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
const isTagNameCharacter = (c: string): boolean => isLetter(c) || (c >= '0' && c <= '9') || c === '-' || c === ':';

/** Follows a text character by character and knows whether it is in the value of an HTML attribute that loads. */
export interface TagTracker {
  follow(c: string): void;
  inLoadingValue(): boolean;
}

/** A tracker at the start of a text, outside any tag. `<EMAIL_…>` is no tag: tag names have no underscore. */
export const createTagTracker = (): TagTracker => {
  let state: State = 'outside';
  let name = '';
  let nameEnded = false;
  let quote = '';

  const startAttribute = (): void => {
    state = 'attributes';
    name = '';
    nameEnded = false;
  };

  const inAttributes = (c: string): void => {
    if (c === '>') state = 'outside';
    else if (c === '=') state = 'before value';
    else if (isSpace(c)) nameEnded = true;
    else {
      if (nameEnded || c === '/') name = '';
      nameEnded = false;
      if (c !== '/' && name.length < NAME_LIMIT) name += c.toLowerCase();
    }
  };

  const inValue = (c: string): void => {
    if (quote === '' ? isSpace(c) : c === quote) startAttribute();
    else if (quote === '' && c === '>') state = 'outside';
  };

  return {
    follow(c) {
      if (c === '<' && state !== 'value') state = 'opened';
      else if (state === 'outside') return;
      else if (state === 'value') inValue(c);
      else if (state === 'attributes') inAttributes(c);
      else if (state === 'opened') state = isLetter(c) ? 'tag name' : 'outside';
      else if (state === 'tag name') {
        if (isSpace(c) || c === '/') startAttribute();
        else if (!isTagNameCharacter(c)) state = 'outside';
      } else if (c === '>') state = 'outside';
      else if (!isSpace(c)) {
        quote = c === '"' || c === "'" ? c : '';
        state = 'value';
      }
    },
    inLoadingValue: () =>
      (state === 'value' || state === 'before value') && (name.startsWith('on') || LOADING.has(name)),
  };
};

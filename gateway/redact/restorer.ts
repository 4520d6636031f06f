import { LinkTracker } from './link-tracker.ts';
import { ID_LENGTH, idEnd } from './placeholders.ts';
import type { EncodeValue, Place, TextRestorer } from './redactor.ts';

/** A value that can be restored, and where. */
export interface Restorable {
  readonly value: string;
  readonly text: boolean;
  readonly links: boolean;
  readonly toolArguments: boolean;
}

/** What a restorer knows of a vault: placeholders with their values, and the names they start with. */
export interface Restorables {
  readonly byPlaceholder: ReadonlyMap<string, Restorable>;
  readonly names: readonly string[];
}

const mayRestore = (entry: Restorable, place: Place, inLink: boolean): boolean =>
  (place === 'text' ? entry.text : entry.toolArguments) && (!inLink || entry.links);

/** Where `name` ends in `text` before the underscore at `underscore`; a Markdown writer may escape that (`\_`). */
const nameEnd = (text: string, underscore: number): number =>
  text.charAt(underscore - 1) === '\\' ? underscore - 1 : underscore;

/**
 * Opens the restoring of one text that comes in pieces. Placeholders are matched exactly, `\_` for `_` excepted. What is
 * held back is the longest end of the text that is the beginning of one of these placeholders: at most 19 characters.
 */
export const createRestorer = (
  { byPlaceholder, names }: Restorables,
  place: Place,
  encode: EncodeValue = (value) => value,
): TextRestorer => {
  const links = new LinkTracker();
  let held = '';

  const isBeginning = (name: string, id: string): boolean => {
    for (const placeholder of byPlaceholder.keys()) if (placeholder.startsWith(`${name}_${id}`)) return true;
    return false;
  };

  const nameBefore = (text: string, end: number, from: number): string | undefined =>
    names.find((name) => end - name.length >= from && text.startsWith(name, end - name.length));

  /** Where in `text` the longest beginning of a placeholder without its underscore starts: at the end if there is none. */
  const bareBeginning = (text: string, from: number): number => {
    const escaped = text.endsWith('\\');
    const end = escaped ? text.length - 1 : text.length;
    let first = text.length;
    for (const name of names) {
      for (let length = name.length; length >= (escaped ? name.length : 1); length--) {
        const start = end - length;
        if (start >= from && start < first && text.startsWith(name.slice(0, length), start)) first = start;
      }
    }
    return first;
  };

  const run = (text: string, final: boolean): string => {
    let out = '';
    let done = 0;
    for (let at = text.indexOf('_'); at !== -1; at = text.indexOf('_', at + 1)) {
      const end = nameEnd(text, at);
      const name = nameBefore(text, end, done);
      if (name === undefined) continue;
      const start = end - name.length;
      const stop = idEnd(text, at + 1);
      const id = text.slice(at + 1, stop);
      if (stop === text.length && id.length < ID_LENGTH && !final && isBeginning(name, id)) {
        links.feed(text, done, start);
        held = text.slice(start);
        return out + text.slice(done, start);
      }
      const entry = byPlaceholder.get(`${name}_${id}`);
      if (entry === undefined) continue;
      links.feed(text, done, start);
      out += text.slice(done, start);
      out += mayRestore(entry, place, links.inside) ? encode(entry.value) : text.slice(start, stop);
      links.feed(text, start, stop);
      done = stop;
    }
    const keep = final ? text.length : bareBeginning(text, done);
    links.feed(text, done, keep);
    held = text.slice(keep);
    return out + text.slice(done, keep);
  };

  return {
    push: (piece) => run(held + piece, false),
    flush: () => run(held, true),
  };
};

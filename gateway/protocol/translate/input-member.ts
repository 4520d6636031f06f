/**
 * Reads the text of a custom tool's call out of the arguments of the function that stands for it, `{"input": "…"}`, piece
 * by piece. Arguments of another form are the text themselves: what a model said is never lost.
 */
export interface InputReader {
  /** The text that is certain after this piece and was not before. */
  push(piece: string): string;
  /** What is left when the arguments have ended. */
  end(): string;
}

const OPENING = /^\s*\{\s*"input"\s*:\s*"/;
/** A piece of arguments that may still become the opening. */
const MAYBE_OPENING = /^\s*(?:\{\s*(?:"(?:i(?:n(?:p(?:u(?:t(?:"\s*(?::\s*)?)?)?)?)?)?)?)?)?$/;

/** Opens a reader of one call. */
export const createInputReader = (): InputReader => {
  let held = '';
  let state: 'opening' | 'text' | 'over' | 'other' = 'opening';
  /** The text up to its end or to what is not a whole escape yet. */
  const read = (): string => {
    let at = 0;
    while (at < held.length) {
      const char = held[at];
      if (char === '"') {
        state = 'over';
        break;
      }
      if (char === '\\') {
        const size = escapeSize(held, at);
        if (at + size > held.length) break;
        at += size;
      } else at++;
    }
    const text = decoded(held.slice(0, at));
    held = held.slice(at);
    return text;
  };
  return {
    push(piece) {
      if (state === 'over') return '';
      held += piece;
      if (state === 'opening') {
        const opening = OPENING.exec(held);
        if (opening) {
          state = 'text';
          held = held.slice(opening[0].length);
        } else if (!MAYBE_OPENING.test(held)) state = 'other';
      }
      return state === 'text' ? read() : '';
    },
    end: () => (state === 'over' || state === 'text' ? '' : otherText(held)),
  };
};

/** Characters of an escape at `at`: a surrogate pair is read as one. */
const escapeSize = (text: string, at: number): number => {
  if (text[at + 1] !== 'u') return 2;
  const isHigh = /^d[89ab]/i.test(text.slice(at + 2, at + 4));
  if (!isHigh || text.length < at + 6) return 6;
  const next = text.slice(at + 6, at + 8);
  return '\\u'.startsWith(next) ? 12 : 6;
};

/** The text of a JSON string's inside; as it stands where that is not valid. */
const decoded = (inside: string): string => {
  if (inside === '') return '';
  try {
    return JSON.parse(`"${inside}"`) as string;
  } catch {
    // A model may write line ends into a string as they are.
    return inside.replace(/\\(["\\/bfnrt])|\\u([0-9a-f]{4})/gi, (_all, short: string | undefined, hex: string) =>
      short === undefined ? String.fromCharCode(Number.parseInt(hex, 16)) : (SHORT[short] ?? short),
    );
  }
};

const SHORT: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** Arguments that do not begin with the input: it may come after other members. */
const otherText = (args: string): string => {
  try {
    const value = JSON.parse(args) as unknown;
    if (typeof value === 'string') return value;
    const input = (value as { input?: unknown } | null)?.input;
    if (typeof input === 'string') return input;
  } catch {}
  return args;
};

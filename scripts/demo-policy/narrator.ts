/** Tells the demo's story on a terminal. */
export interface Narrator {
  /** Begins a part, and says what it is about. */
  part(title: string, ...sentences: string[]): void;
  say(...sentences: string[]): void;
  /** A command as a person would type it. */
  command(line: string): void;
  /** What came of it: all of it, or of the lines that fit the first ones, or those from one line to another. */
  output(text: string, shown?: Shown): void;
  /** How many parts there were, and milliseconds since the first. */
  readonly told: { readonly parts: number; readonly ms: number };
}

/** Lines of an output. */
export interface Shown {
  readonly first?: number;
  readonly only?: RegExp;
  /** Begins with the first line that fits, ends before the first one behind it that fits. */
  readonly from?: RegExp;
  readonly before?: RegExp;
}

const MARGIN = '    ';

/** Tells it by `write`; commands stand out where `isStyled`. */
export const createNarrator = (write: (text: string) => void, isStyled: boolean): Narrator => {
  const bold = (text: string): string => (isStyled ? `\u001b[1m${text}\u001b[0m` : text);
  const startedAt = performance.now();
  let parts = 0;
  const say = (...sentences: string[]): void => write(`${sentences.join('\n')}\n`);
  return {
    part(title, ...sentences) {
      parts++;
      write(`\n${bold(`${parts}. ${title}`)}\n`);
      if (sentences.length > 0) say(...sentences);
    },
    say,
    command: (line) => write(`\n${bold(`  $ ${line}`)}\n`),
    output(text, shown = {}) {
      const lines = text.trimEnd().split('\n');
      const kept = linesOf(lines, shown);
      for (const line of kept) write(`${MARGIN}${line}`.trimEnd().concat('\n'));
      if (kept.length < lines.length) write(`${MARGIN}… ${lines.length - kept.length} more lines\n`);
    },
    get told() {
      return { parts, ms: performance.now() - startedAt };
    },
  };
};

const linesOf = (lines: readonly string[], { first, only, from, before }: Shown): string[] => {
  const start = from ? lines.findIndex((line) => from.test(line)) : 0;
  const behind = lines.slice(Math.max(0, start));
  const end = before ? behind.findIndex((line) => before.test(line)) : -1;
  const part = end < 0 ? behind : behind.slice(0, end);
  return (only ? part.filter((line) => only.test(line)) : part).slice(0, first);
};

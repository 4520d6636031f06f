import type { CallText } from './protocol/protocol.ts';
import type { Input } from './types.gen.ts';

export type Signals = Input['content']['signals'];

/** How much of a text is read: its start and its end, where the task usually stands. */
const HEAD_CHARACTERS = 2048;
const TAIL_CHARACTERS = 2048;

/** The text of the newest user message as far as it is read, and how long it is in full. */
export interface Sample {
  readonly text: string;
  readonly length: number;
}

/** The newest user text: the last run of user texts, since a message may have several parts. */
export const newestUserText = (texts: readonly CallText[]): Sample => {
  let last = texts.length - 1;
  while (last >= 0 && texts[last]!.role !== 'user') last--;
  if (last < 0) return { text: '', length: 0 };
  let first = last;
  let length = texts[last]!.text.length;
  while (first > 0 && texts[first - 1]!.role === 'user' && length < HEAD_CHARACTERS) {
    first--;
    length += texts[first]!.text.length + 1;
  }
  const text =
    first === last
      ? texts[last]!.text
      : texts
          .slice(first, last + 1)
          .map((part) => part.text)
          .join('\n');
  if (text.length <= HEAD_CHARACTERS + TAIL_CHARACTERS) return { text, length: text.length };
  return { text: `${text.slice(0, HEAD_CHARACTERS)}\n${text.slice(-TAIL_CHARACTERS)}`, length: text.length };
};

/** Verbs that ask for open-ended work. */
const VERBS = new Set(
  (
    'analyse analyze argue assess brainstorm compare compose construct contrast create critique debate debug derive ' +
    'describe design develop discuss draft edit elaborate evaluate explain generate illustrate implement improve ' +
    'interpret investigate justify outline paraphrase plan propose prove recommend refactor reflect rewrite simulate ' +
    'solve suggest summarise summarize synthesise synthesize translate write'
  ).split(' '),
);
const LONGEST_VERB = Math.max(...[...VERBS].map((verb) => verb.length));
/** Words that turn a question round: what is asked is easily missed. */
const NEGATIONS = new Set('except false incorrect least never neither nor not wrong cannot'.split(' '));
/** A word of so many characters is a long one. */
const LONG_WORD = 10;

/** Signals of a sample. Linear in its length, which is bounded. `turns` are the user messages of the conversation. */
export const readSignals = (sample: Sample, turns: number): Signals => {
  const { text } = sample;
  const marks = new Uint8Array(128);
  const { words, verbs, questions, numbers, longWords, isNegated } = walk(text, marks);
  // What was left out is taken to be like the rest.
  const inFull = (count: number): number =>
    sample.length > text.length ? Math.round((count * sample.length) / text.length) : count;
  const has = (...characters: string[]): boolean => characters.some((character) => marks[character.charCodeAt(0)]! > 0);
  const isWide = marks[0]! > 0;
  return {
    multiple_choice: has('.', ')', ':') && hasOptions(text, questions),
    yes_no: isYesNo(text, words, questions),
    question_marks: questions,
    code: CODE.test(text),
    math: (isWide || has('\\', '$', '^', '=', '+', '*', '(')) && MATH.test(text),
    instruction_verbs: verbs,
    turns,
    words: inFull(words),
    numbers: inFull(numbers),
    long_words: inFull(longWords),
    negated: isNegated,
  };
};

/** What one pass over the words counts. */
interface Walked {
  words: number;
  verbs: number;
  questions: number;
  numbers: number;
  longWords: number;
  isNegated: boolean;
}

/** Counts words and question marks; `marks` tells which ASCII characters there are, and 0 that there are others. */
const walk = (text: string, marks: Uint8Array): Walked => {
  let words = 0;
  let verbs = 0;
  let questions = 0;
  let numbers = 0;
  let longWords = 0;
  let isNegated = false;
  let at = 0;
  while (at < text.length) {
    let code = text.charCodeAt(at);
    if (!isWordCode(code)) {
      marks[code < 128 ? code : 0] = 1;
      if (code === 0x3f || code === 0xff1f || code === 0x61f) questions++;
      at++;
      continue;
    }
    const start = at;
    do code = text.charCodeAt(++at);
    while (at < text.length && isWordCode(code));
    if (text.charCodeAt(start) >= 128) marks[0] = 1;
    words++;
    const length = at - start;
    if (isDigit(text.charCodeAt(start))) numbers++;
    else if (length >= LONG_WORD) longWords++;
    if (length < 3 || length > LONGEST_VERB) continue;
    const word = text.slice(start, at).toLowerCase();
    if (VERBS.has(word)) verbs++;
    else if (NEGATIONS.has(word)) isNegated = true;
  }
  return { words, verbs, questions, numbers, longWords, isNegated };
};

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** Letters, digits, the apostrophe, and what is not ASCII but letters in most cases. */
const isWordCode = (code: number): boolean =>
  (code >= 0x61 && code <= 0x7a) ||
  (code >= 0x41 && code <= 0x5a) ||
  (code >= 0x30 && code <= 0x39) ||
  code === 0x27 ||
  (code >= 0xaa && code !== 0xd7 && code !== 0xf7 && !(code >= 0x2000 && code <= 0x303f) && code < 0xff00);

/** The label of an option at the start of a line: `A.` `(b)` `3)`. */
const OPTION_LINE = /^[ \t]*(?:\(([A-Ja-j1-9])\)|([A-Ja-j1-9])[.):])[ \t]+\S/gm;
/** Options in one line: `(A) … (B) …` or ` A) … B) …`. */
const OPTION_INLINE = /(?:^|[\s(])([A-Ea-e])\)/g;
const CHOICE_WORDS = /\b(?:which|choose|select|answer|options?|following|correct|pick)\b/i;

const NUMBERED_CHOICE = /\b(?:which|choose|select|pick)\b/i;

const hasOptions = (text: string, questions: number): boolean => {
  const lettered = longestRun(text, OPTION_LINE, false);
  if (lettered >= 3) return true;
  const asks = questions > 0 || CHOICE_WORDS.test(text);
  if (!asks) return false;
  if (lettered >= 2 || longestRun(text, OPTION_INLINE, false) >= 2) return true;
  // Numbered lines are lists of anything unless one is to be chosen.
  return NUMBERED_CHOICE.test(text) && longestRun(text, OPTION_LINE, true) >= 3;
};

/** The longest run of labels that follow each other, from A or from 1. */
const longestRun = (text: string, pattern: RegExp, isNumbered: boolean): number => {
  let longest = 0;
  let run = 0;
  for (const match of text.matchAll(pattern)) {
    const label = (match[1] ?? match[2] ?? '').toUpperCase();
    const position = label.charCodeAt(0) - (isNumbered ? 0x30 : 0x40);
    if (position === 1) run = 1;
    else if (run > 0 && position === run + 1) run++;
    else run = 0;
    if (run > longest) longest = run;
  }
  return longest;
};

const YES_NO =
  /\b(?:yes or no|yes\s?\/\s?no|true or false|true\s?\/\s?false|answer (?:with )?(?:only )?["“']?(?:yes|true))\b/i;
/** A question that a verb opens asks for yes or no, unless it asks someone to do something. */
const POLAR =
  /^\s*(?:is|are|was|were|does|do|did|has|have|had|should|will|would|can|could|may|must)\s+(?!you\b)[^?\n]{1,240}\?\s*$/i;
const POLAR_WORDS = 40;

const isYesNo = (text: string, words: number, questions: number): boolean =>
  YES_NO.test(text) || (questions === 1 && words <= POLAR_WORDS && POLAR.test(text));

const CODE =
  /```|\b(?:def|class|function|fn|func|struct|interface)\s+\w{1,64}\s*[({:<]|#include\s*[<"]|=>\s*[{(]|\bimport\s+[\w{*"'][^\n]{0,80}\bfrom\b|\bSELECT\b[^;]{1,200}\bFROM\b|<\/?(?:div|html|script|span|body)\b|[\w)\]];[ \t]*(?:\n|$)|\b(?:const|let|var|int|float|void)\s+\w{1,64}\s*[=;(]/;

const MATH =
  /\\(?:frac|sum|int|sqrt|begin|cdot|left|alpha|beta|theta|pi)\b|[∑∫√≤≥≠∞±×÷∂∈∀∃]|\$[^$\n]{0,80}[\\^_={][^$\n]{0,80}\$|\b\d+(?:\.\d+)?\s*[+*^=]\s*\(?-?\d|\b[a-z]\s*\^\s*[\d{n]|\b[a-z]\s*=\s*-?\d|\b[fg]\([a-z]\)|\b(?:sin|cos|tan|log|ln|sqrt)\s*\(/;

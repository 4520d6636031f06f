import { instanceOf } from './instance.ts';
import { countTokens, splitTokens } from './tokens.ts';
import type { Reply, Turn } from './turn.ts';

/** Answers a turn. The same turn always gets the same answer; nothing is looked up, remembered or sent anywhere. */
export const replyTo = (turn: Turn): Reply => {
  // 3 tokens a message and 3 for the start of the answer, as OpenAI counts them.
  const inputTokens = turn.texts.reduce((sum, text) => sum + countTokens(text) + 3, 3);
  if (turn.forcedTool !== null) {
    const args = JSON.stringify(instanceOf(turn.forcedTool.schema, excerpt(turn.prompt)));
    const toolCall = { name: turn.forcedTool.name, arguments: args };
    return { text: '', toolCall, finish: 'tool', stopSequence: null, inputTokens, outputTokens: countTokens(args) + 4 };
  }
  const { text, finish, stopSequence } = limit(textOf(turn), turn);
  return { text, toolCall: null, finish, stopSequence, inputTokens, outputTokens: countTokens(text) };
};

const textOf = (turn: Turn): string => {
  if (turn.jsonSchema !== null) return JSON.stringify(instanceOf(turn.jsonSchema, excerpt(turn.prompt)));
  if (turn.toolResult !== null) return `The tool answered: ${excerpt(turn.toolResult)}`;
  const options = optionsOf(turn.prompt);
  if (options.length >= 2) return options[hash(turn.prompt) % options.length]!;
  if (/\btrue or false\b/i.test(turn.prompt)) return hash(turn.prompt) % 2 === 0 ? 'True' : 'False';
  if (isYesNo(turn.prompt)) return hash(turn.prompt) % 2 === 0 ? 'Yes.' : 'No.';
  return essayOn(turn);
};

const essayOn = (turn: Turn): string => {
  const words = turn.prompt.match(/\S+/g)?.length ?? 0;
  const names = namesIn(turn.texts);
  const named = names.length === 0 ? '' : ` It names ${names.join(', ')}.`;
  return (
    `This is the sandbox: it answers offline and no model was asked. You sent ${words} words to ${turn.model}: ` +
    `“${excerpt(turn.prompt)}”${named} A real model would now take up the question, weigh what speaks for and ` +
    'against each side, and close with what follows from it.'
  );
};

/** Letters of the options of a multiple-choice question: lines or words such as `A) Paris`, `(B) Rome`, `C. Oslo`. */
const optionsOf = (prompt: string): string[] => {
  const letters = Array.from(prompt.matchAll(/(?:^|\s)\(?([A-H])[).:]\s/g), (match) => match[1]!);
  const expected = 'ABCDEFGH';
  return letters.filter((letter, i) => letter === expected[i]);
};

const isYesNo = (prompt: string): boolean =>
  /\byes or no\b/i.test(prompt) ||
  /^\s*(is|are|was|were|do|does|did|can|could|will|would|should|has|have)\s[^?]{1,200}\?\s*$/i.test(prompt);

/** What looks like an e-mail address or a placeholder, so that a reader sees what reached the upstream. */
const namesIn = (texts: readonly string[]): string[] => {
  const found = new Set<string>();
  for (const text of texts) {
    for (const word of text.split(/\s+/)) {
      const name = word.replace(/^["'“(]+|["'”).,;:!?]+$/g, '');
      if (name.length <= 200 && (isAddress(name) || isPlaceholder(name))) found.add(name);
      if (found.size === 20) return [...found];
    }
  }
  return [...found];
};

const isAddress = (word: string): boolean => {
  const at = word.indexOf('@');
  return at > 0 && word.indexOf('.', at) > at + 1;
};

/** `EMAIL_G4T9QYH02M6KD`, and what other tools use: `<EMAIL_1>`, `[PHONE-2]`. */
const isPlaceholder = (word: string): boolean =>
  /^[A-Z]{2,10}_[0-9A-Z]{8,32}$/.test(word) || /^[<[{]{1,2}\w{2,}[-_:]\w[\w:-]*[>\]}]{1,2}$/.test(word);

/** At most the first 280 characters, ending at a word, in one line: a placeholder is never cut in two. */
const excerpt = (text: string): string => {
  const line = text.replace(/\s+/g, ' ').trim();
  if (line.length <= 280) return line;
  const cut = line.lastIndexOf(' ', 280);
  return `${line.slice(0, cut > 0 ? cut : 280)} …`;
};

const limit = (text: string, turn: Turn): Pick<Reply, 'text' | 'finish' | 'stopSequence'> => {
  let cut = text;
  let stopSequence: string | null = null;
  for (const stop of turn.stop) {
    const at = stop === '' ? -1 : cut.indexOf(stop);
    if (at >= 0) {
      cut = cut.slice(0, at);
      stopSequence = stop;
    }
  }
  const tokens = splitTokens(cut);
  if (tokens.length > turn.maxTokens) {
    return { text: tokens.slice(0, turn.maxTokens).join(''), finish: 'length', stopSequence: null };
  }
  return { text: cut, finish: stopSequence === null ? 'end' : 'stop_sequence', stopSequence };
};

/** FNV-1a over UTF-16 units. */
export const hash = (text: string): number => {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
};

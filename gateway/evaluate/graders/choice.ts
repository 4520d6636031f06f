const LETTER = '([A-Ja-j])';
/** A letter with brackets, stars or quotes around it, and no word after it. */
const MARKED = `[("'*\`\\[{]*${LETTER}[)"'*\`\\]}]*(?![A-Za-z'’])`;
/** `Answer: B`, `the correct option is (B)`, `\boxed{B}`: what a model says last of this kind holds. */
const SAID = [
  new RegExp(
    `\\b(?:answer|option|choice|solution)\\b[\\s*_]*(?:is|:|=|would be|must be)[\\s*_:]*(?:option|choice)?\\s*${MARKED}`,
    'gi',
  ),
  new RegExp(`\\\\boxed\\{\\s*(?:\\\\text\\{)?\\s*${LETTER}`, 'g'),
];
/** `B`, `B.`, `(B) because …`, `**B**: …` at the start. */
const FIRST = new RegExp(`^\\s*(?:[(*\`"'\\[]+${LETTER}[)*\`"'\\]]+|${LETTER}\\s*(?:[.):,]|$|\\n))`);
const STANDING = /(?<![A-Za-z'’])([B-HJ]|[b-hj](?=\)))(?![A-Za-z'’])/g;

/** The letter that an answer to a multiple-choice question chooses, upper case; undefined when it chooses none or several. */
export const chosenLetter = (text: string): string | undefined => {
  for (const pattern of SAID) {
    const said = [...text.matchAll(pattern)].at(-1)?.[1];
    if (said) return said.toUpperCase();
  }
  const first = FIRST.exec(text);
  const opening = first?.[1] ?? first?.[2];
  if (opening) return opening.toUpperCase();
  // Else the only letter that stands alone; `A` and `I` are words.
  const standing = new Set([...text.matchAll(STANDING)].map(([, letter]) => (letter as string).toUpperCase()));
  return standing.size === 1 ? [...standing][0] : undefined;
};

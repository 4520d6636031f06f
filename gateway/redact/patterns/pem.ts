import { BASE64, DIGIT, LETTER, runEnd } from './characters.ts';
import type { Scan } from './scan.ts';

const BEGIN = '-----BEGIN ';
const END = '-----END ';
const LABEL_LIMIT = 64;
/** A 16,384-bit RSA key is 13 KB; encrypted PGP blocks with subkeys are larger. */
const BLOCK_LIMIT = 65_536;

const isPrivate = (label: string): boolean => label.endsWith('PRIVATE KEY') || label.endsWith('PRIVATE KEY BLOCK');

/** Shorter runs of letters are words, not lines of a key. */
const LINE_MIN = 16;

/** The end of the base64 lines from `from`, where a block was cut off. Line breaks may be written as `\n`. */
const bodyEnd = (text: string, from: number): number => {
  let end = from;
  for (;;) {
    let line = end;
    while (line < text.length && '\n\r\t \\'.includes(text.charAt(line))) line++;
    const lineEnd = runEnd(text, line, BASE64 | DIGIT | LETTER);
    if (lineEnd - line < LINE_MIN) return end;
    end = lineEnd;
  }
};

/** Blocks of PEM (RFC 7468) or PGP armour that hold a private key; one that is cut off is taken as far as it goes. */
export const scanPrivateKeys: Scan = (text, found) => {
  let at = text.indexOf(BEGIN);
  let close = -2; // the next END at or after the position looked at; -1: there is none. Kept, so that all searches are one pass
  while (at !== -1) {
    const labelStart = at + BEGIN.length;
    const labelEnd = text.slice(labelStart, labelStart + LABEL_LIMIT).indexOf('-----');
    let next = labelStart;
    if (labelEnd !== -1 && isPrivate(text.slice(labelStart, labelStart + labelEnd))) {
      const body = labelStart + labelEnd + 5;
      if (close !== -1 && close < body) close = text.indexOf(END, body);
      const tail =
        close === -1 || close - body > BLOCK_LIMIT
          ? -1
          : text.slice(close + END.length, close + END.length + LABEL_LIMIT + 5).indexOf('-----');
      next = tail === -1 ? bodyEnd(text, body) : close + END.length + tail + 5;
      if (next > body) found.push({ entity: 'api_key', start: at, end: next, kind: 'private_key' });
    }
    at = text.indexOf(BEGIN, next);
  }
};

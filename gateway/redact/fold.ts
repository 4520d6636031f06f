/**
 * Characters that people and programs write where the patterns expect ASCII, and what each is read as: spaces of other
 * widths, invisible characters, dashes, full-width forms, Arabic-Indic digits. One UTF-16 unit for one, so that offsets
 * stay. Invisible characters count as a space: they may separate the groups of a number, but not of an e-mail address.
 */
const FOLDED =
  /[\u00a0\u00ad\u0660-\u0669\u06f0-\u06f9\u1680\u2000-\u2015\u202a-\u202f\u205f\u2060-\u2064\u2066-\u2069\u2212\u3000\ufe58\ufe63\ufeff\uff01-\uff5e]/;
/** The same without those of Latin-1. V8 knows that a one-byte string cannot match and answers at once. */
const FOLDED_TWO_BYTE =
  /[\u0660-\u0669\u06f0-\u06f9\u1680\u2000-\u2015\u202a-\u202f\u205f\u2060-\u2064\u2066-\u2069\u2212\u3000\ufe58\ufe63\ufeff\uff01-\uff5e]/;
const EVERY_FOLDED = new RegExp(FOLDED, 'g');

const fold = (character: string): string => {
  const code = character.charCodeAt(0);
  if (code >= 0xff01 && code <= 0xff5e) return String.fromCharCode(code - 0xfee0);
  if (code >= 0x0660 && code <= 0x0669) return String.fromCharCode(code - 0x0660 + 48);
  if (code >= 0x06f0 && code <= 0x06f9) return String.fromCharCode(code - 0x06f0 + 48);
  if ((code >= 0x2010 && code <= 0x2015) || code === 0x2212 || code === 0xfe58 || code === 0xfe63) return '-';
  return ' ';
};

/** The text as the patterns read it: of the same length, with look-alikes of ASCII spaces, dashes and digits as ASCII. */
export const foldText = (text: string): string => {
  const folds = text.includes('\u00a0') || text.includes('\u00ad') || FOLDED_TWO_BYTE.test(text);
  return folds ? text.replace(EVERY_FOLDED, fold) : text;
};

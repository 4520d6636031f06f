/**
 * A text as every store can hold it, '' for none: Postgres takes neither U+0000 nor half a surrogate pair, so they become
 * U+FFFD on both, and a name is the same wherever it is stored.
 */
export const storable = (text: string | null | undefined): string => {
  if (text === null || text === undefined) return '';
  if (!text.includes('\0') && text.isWellFormed()) return text;
  return text.replaceAll('\0', '\ufffd').toWellFormed();
};

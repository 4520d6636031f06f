/** A shorter "key" is a placeholder such as vLLM's EMPTY: a word that answers may hold. */
const MIN_KEY_BYTES = 8;
const HIDDEN = '[key]';

/**
 * Makes a function that takes an operator's keys out of a body: some servers repeat the credential in the error about
 * it. It gives the same Buffer when there is none, at the price of a search a key. Bodies are small: errors alone.
 */
export const createKeyHider = (keys: readonly string[]): ((body: Buffer) => Buffer) => {
  const said = new Set(keys.flatMap((key) => [key, JSON.stringify(key).slice(1, -1)]));
  const needles = [...said].filter((key) => Buffer.byteLength(key) >= MIN_KEY_BYTES);
  return (body) => {
    if (!needles.some((key) => body.includes(key))) return body;
    // Byte for byte, so that what is not UTF-8 stays what it is.
    let text = body.toString('latin1');
    for (const key of needles) text = text.replaceAll(Buffer.from(key).toString('latin1'), HIDDEN);
    return Buffer.from(text, 'latin1');
  };
};

/**
 * A stable bucket of a text, 0 to 9999: FNV-1a over its UTF-16 units with MurmurHash3's final mix, modulo 10000. Not
 * for secrets: who chooses the text can choose the bucket.
 */
export const bucketOf = (text: string): number => {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 10_000;
};

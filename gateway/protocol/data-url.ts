/** A payload in base64 that a data URL holds. */
export interface DataUrl {
  /** In small letters, without parameters. */
  readonly mediaType: string;
  readonly base64: string;
}

/** Reads a base64 data URL; undefined for anything else. */
export const parseDataUrl = (url: string): DataUrl | undefined => {
  // The payload may be megabytes: only what stands before it is matched.
  const comma = url.startsWith('data:') ? url.indexOf(',') : -1;
  if (comma < 0 || comma > LONGEST_HEAD) return undefined;
  const match = HEAD.exec(url.slice(0, comma));
  return match ? { mediaType: match[1]!.toLowerCase(), base64: url.slice(comma + 1) } : undefined;
};

const LONGEST_HEAD = 256;
const HEAD = /^data:([\w.+-]+\/[\w.+-]+)(?:;[\w.+-]+=[^;,]*)*;base64$/;

/** Whether a payload is a text by its media type. */
export const isTextType = (mediaType: string): boolean => TEXT.test(mediaType);

const TEXT = /^(?:text\/[\w.+-]+|application\/(?:json|xml|yaml|x-yaml))$/;

/** The text that a payload is; undefined where it is none in UTF-8. */
export const textOfBase64 = (base64: string): string | undefined => {
  try {
    return UTF8.decode(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
};

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

import { createHash } from 'node:crypto';

/**
 * OPA's hash of a JSON document by its structure, in hex: sha256 over the document with sorted keys, no white space and
 * number literals as they are written (opa: v1/bundle/hash.go). Used for data.json and .manifest; other files are hashed
 * by their bytes. Throws for an object that has a key twice: readers differ about which one counts.
 */
export const structuralHash = (json: string): string => {
  const literals: unknown = JSON.parse(json, function keepNumbers(_key, value, context?: { source: string }) {
    return typeof value === 'number' && context !== undefined ? new NumberLiteral(context.source) : value;
  });
  if (keysWritten(json) !== keysRead(literals)) throw new Error('signature: a document has a key twice in one object');
  return createHash('sha256').update(canonical(literals)).digest('hex');
};

/** Keys in the text of a JSON document, doubles included. */
const keysWritten = (json: string): number => {
  let keys = 0;
  for (const [, colon] of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"\s*(:)?/g)) if (colon !== undefined) keys++;
  return keys;
};

const keysRead = (value: unknown): number => {
  if (typeof value !== 'object' || value === null || value instanceof NumberLiteral) return 0;
  const items: unknown[] = Object.values(value);
  return items.reduce((sum: number, item) => sum + keysRead(item), Array.isArray(value) ? 0 : items.length);
};

class NumberLiteral {
  readonly source: string;
  constructor(source: string) {
    this.source = source;
  }
}

const canonical = (value: unknown): string => {
  if (value instanceof NumberLiteral) return value.source;
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    return `{${entries.map(([key, item]) => `${quote(key)}:${canonical(item)}`).join(',')}}`;
  }
  return typeof value === 'string' ? quote(value) : JSON.stringify(value);
};

/** As Go's encoding/json writes a string, without HTML escapes: U+2028 and U+2029 are escaped. */
const quote = (text: string): string =>
  JSON.stringify(text.toWellFormed()).replace(/[\u2028\u2029]/g, (char) => (char === '\u2028' ? '\\u2028' : '\\u2029'));

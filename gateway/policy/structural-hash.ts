import { createHash } from 'node:crypto';

/**
 * OPA's hash of a JSON document by its structure, in hex: sha256 over the document with sorted keys, no white space and
 * number literals as they are written (opa: v1/bundle/hash.go). Used for data.json and .manifest; other files are hashed
 * by their bytes.
 */
export const structuralHash = (json: string): string => {
  const literals: unknown = JSON.parse(json, function keepNumbers(_key, value, context?: { source: string }) {
    return typeof value === 'number' && context !== undefined ? new NumberLiteral(context.source) : value;
  });
  return createHash('sha256').update(canonical(literals)).digest('hex');
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

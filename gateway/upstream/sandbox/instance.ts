/** Deeper than any schema a person writes; a schema that refers to itself through nesting stops here. */
const MAX_DEPTH = 16;

/**
 * A value that fits a JSON Schema of the kinds tools use: type, properties, items, enum, const, anyOf. Strings are
 * `text`.
 */
export const instanceOf = (schema: unknown, text: string, depth = 0): unknown => {
  if (typeof schema !== 'object' || schema === null || depth > MAX_DEPTH) return text;
  const s = schema as Record<string, unknown>;
  if ('const' in s) return s.const;
  if (Array.isArray(s.enum)) return s.enum[0];
  for (const key of ['anyOf', 'oneOf', 'allOf']) {
    const choice = s[key];
    if (Array.isArray(choice)) return instanceOf(choice[0], text, depth + 1);
  }
  switch (Array.isArray(s.type) ? s.type[0] : s.type) {
    case 'string':
      return text;
    case 'integer':
    case 'number':
      return typeof s.minimum === 'number' ? s.minimum : 1;
    case 'boolean':
      return true;
    case 'null':
      return null;
    case 'array':
      return [instanceOf(s.items ?? {}, text, depth + 1)];
    default:
      return objectOf(s, text, depth);
  }
};

/** Every property a schema declares; without any, one that says where it comes from. */
const objectOf = (schema: Record<string, unknown>, text: string, depth: number): Record<string, unknown> => {
  const properties = schema.properties;
  if (typeof properties !== 'object' || properties === null)
    return depth === 0 && schema.type !== 'object' ? { answer: text } : {};
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, instanceOf(value, text, depth + 1)]),
  );
};

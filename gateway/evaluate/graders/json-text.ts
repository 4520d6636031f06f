const FENCE = /^```(?:json)?\s*\n([\s\S]*?)\n?```\s*$/i;

/** The JSON value that an answer is, a Markdown fence around it aside. Throws SyntaxError. */
export const jsonOf = (text: string): unknown => {
  const trimmed = text.trim();
  return JSON.parse(FENCE.exec(trimmed)?.[1] ?? trimmed);
};

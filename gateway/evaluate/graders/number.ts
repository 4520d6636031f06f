/** `1,234.5`, `-3e8`, `.5`, `12 %`. A comma is taken for one between thousands. */
const NUMBER = /[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d{1,3})?/g;

/** The last number of a text, where most answers have their result; undefined without one. */
export const lastNumber = (text: string): number | undefined => {
  const found = [...text.matchAll(NUMBER)].map(([match]) => match).filter((match) => /\d/.test(match));
  const last = found.at(-1);
  if (last === undefined) return undefined;
  const value = Number(last.replaceAll(',', '').replace('−', '-'));
  return Number.isFinite(value) ? value : undefined;
};

/** Whether two numbers are close enough: absolutely, or relatively to the expected one as `1%`. */
export const isWithin = (actual: number, expected: number, tolerance: number | string): boolean => {
  const bound = typeof tolerance === 'string' ? (Number.parseFloat(tolerance) / 100) * Math.abs(expected) : tolerance;
  // Decimals are not exact: 0.1 + 0.2 is 0.3.
  return Math.abs(actual - expected) <= bound + Math.abs(expected) * 1e-12;
};

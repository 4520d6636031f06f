/** The first place at which two JSON values differ, in the order of the keys, such as `rate.tier: recorded "a", now "b"`. */
export const firstDifference = (recorded: unknown, now: unknown): string =>
  differenceAt('', recorded, now) ?? 'nothing differs';

const LONGEST_VALUE = 120;

const differenceAt = (path: string, recorded: unknown, now: unknown): string | undefined => {
  if (Array.isArray(recorded) && Array.isArray(now)) {
    const length = Math.max(recorded.length, now.length);
    for (let index = 0; index < length; index++) {
      const found = differenceAt(`${path}[${index}]`, recorded[index], now[index]);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (isObject(recorded) && isObject(now)) {
    for (const key of [...new Set([...Object.keys(recorded), ...Object.keys(now)])].sort()) {
      const found = differenceAt(path === '' ? key : `${path}.${key}`, recorded[key], now[key]);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (Object.is(recorded, now)) return undefined;
  return `${path || 'the decision'}: recorded ${shown(recorded)}, now ${shown(now)}`;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
};

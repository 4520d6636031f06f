/** US dollars of an amount in micro-USD, exactly: `1234.567890`. With `grouped` the thousands are set apart by commas. */
export const formatUsd = (microUsd: number, { grouped = false }: { readonly grouped?: boolean } = {}): string => {
  if (!Number.isSafeInteger(microUsd)) throw new RangeError(`${microUsd} is not an exact amount`);
  const digits = String(Math.abs(microUsd)).padStart(7, '0');
  const whole = digits.slice(0, -6);
  const text = `${grouped ? groupDigits(whole) : whole}.${digits.slice(-6)}`;
  return microUsd < 0 ? `-${text}` : text;
};

/** An integer with its thousands set apart by commas. */
export const formatCount = (count: number): string =>
  count < 0 ? `-${groupDigits(String(-count))}` : groupDigits(String(count));

const groupDigits = (digits: string): string => digits.replace(/\B(?=(?:\d{3})+$)/g, ',');

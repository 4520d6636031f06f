/**
 * Rows as CSV by RFC 4180, lines ended by CRLF. A text that a spreadsheet would run as a formula (it begins with = + - @,
 * a tab or a line break) gets an apostrophe in front; numbers are written as they are.
 */
export const formatCsv = (rows: readonly (readonly (string | number | null)[])[]): string =>
  rows.map((row) => `${row.map(cellOf).join(',')}\r\n`).join('');

const cellOf = (value: string | number | null): string => {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const safe = /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

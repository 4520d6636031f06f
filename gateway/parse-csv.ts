/** A row of a CSV file: its cells, and the line that it begins on, from 1. */
export interface CsvRow {
  readonly line: number;
  readonly cells: readonly string[];
}

/** The rows of a text in CSV (RFC 4180; a byte order mark, LF and empty lines are taken too). Throws RangeError. */
export const parseCsv = (text: string): CsvRow[] => {
  const rows: CsvRow[] = [];
  let cells: string[] = [];
  let line = 1;
  let start = 1;
  let at = text.startsWith('\ufeff') ? 1 : 0;
  const endRow = (): void => {
    if (cells.length > 1 || cells[0] !== '') rows.push({ line: start, cells });
    cells = [];
    start = ++line;
  };
  while (at < text.length) {
    if (text[at] === '"') {
      const { cell, end } = quotedCell(text, at, line);
      cells.push(cell);
      for (const char of cell) if (char === '\n') line++;
      at = end;
    } else {
      const end = endOfCell(text, at);
      cells.push(text.slice(at, end));
      at = end;
    }
    if (text[at] === ',') {
      at++;
      if (at === text.length) cells.push('');
      else continue;
    }
    if (text[at] === '\r') at++;
    if (at < text.length && text[at] !== '\n') throw new RangeError(`line ${line}: a quoted cell is followed by text`);
    at++;
    endRow();
  }
  return rows;
};

const endOfCell = (text: string, from: number): number => {
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (char === ',' || char === '\n' || (char === '\r' && (text[at + 1] === '\n' || at + 1 === text.length)))
      return at;
  }
  return text.length;
};

const quotedCell = (text: string, from: number, line: number): { cell: string; end: number } => {
  let cell = '';
  let at = from + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) throw new RangeError(`line ${line}: a quoted cell does not end`);
    cell += text.slice(at, quote);
    if (text[quote + 1] !== '"') return { cell, end: quote + 1 };
    cell += '"';
    at = quote + 2;
  }
};

/** SQLite takes 32,766 values a statement, Postgres 65,535. */
const MAX_VALUES = 32_000;

/** Splits rows of a number of columns into as many statements as the databases need. */
export const chunksOf = <Row>(rows: readonly Row[], columns: number): Row[][] => {
  const size = Math.floor(MAX_VALUES / columns);
  const chunks: Row[][] = [];
  for (let from = 0; from < rows.length; from += size) chunks.push(rows.slice(from, from + size));
  return chunks;
};

/** The known name that a misspelt one most likely means: at most two letters away. Undefined when none is that near. */
export const nearestName = (name: string, known: readonly string[]): string | undefined => {
  const near = known.map((candidate) => ({ candidate, letters: distance(candidate, name) }));
  return near.sort((a, b) => a.letters - b.letters).find(({ letters }) => letters <= 2)?.candidate;
};

/** Levenshtein distance, for suggestions on short field names only. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min(
          (row[j] as number) + 1,
          (next[j - 1] as number) + 1,
          (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      );
    }
    row = next;
  }
  return row[b.length] as number;
};

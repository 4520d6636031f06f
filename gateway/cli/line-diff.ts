/** Unchanged lines that are shown around a change. */
const CONTEXT = 2;

/** The lines of two short texts: `- ` gone, `+ ` new, two spaces before what stayed, around changes alone; '' when they are the same. */
export const lineDiff = (before: string, after: string): string => {
  const [old, young] = [linesOf(before), linesOf(after)];
  const lines = compare(old, young);
  const isNear = lines.map((_, at) => lines.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(isChange));
  return lines
    .flatMap((line, at) => (isNear[at] ? [line] : isNear[at - 1] && isNear.includes(true, at) ? ['  …'] : []))
    .join('\n');
};

const isChange = (line: string): boolean => !line.startsWith('  ');

const linesOf = (text: string): string[] => {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
};

/** By the longest common subsequence, in the square of the lines: a rollout.yaml has a few dozen. */
const compare = (old: readonly string[], young: readonly string[]): string[] => {
  const common = Array.from({ length: old.length + 1 }, () => new Uint32Array(young.length + 1));
  const at = (i: number, j: number): number => common[i]?.[j] ?? 0;
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = young.length - 1; j >= 0; j--) {
      (common[i] as Uint32Array)[j] = old[i] === young[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: string[] = [];
  for (let i = 0, j = 0; i < old.length || j < young.length; ) {
    if (i < old.length && j < young.length && old[i] === young[j]) {
      lines.push(`  ${old[i++]}`);
      j++;
    } else if (i < old.length && (j === young.length || at(i + 1, j) >= at(i, j + 1))) lines.push(`- ${old[i++]}`);
    else lines.push(`+ ${young[j++]}`);
  }
  return lines;
};

/**
 * Numbers in [0, 1), the same for the same seed on every machine. Not for secrets. Source: sfc32 of PractRand by Chris
 * Doty-Humphrey, public domain.
 */
export const createRandom = (seed: number): (() => number) => {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = seed | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return (sum >>> 0) / 4_294_967_296;
  };
  // Until a seed of few bits has reached all of the state.
  for (let round = 0; round < 12; round++) next();
  return next;
};

/** Up to `count` different positions of a list of `length`, in ascending order, each as likely as any other. */
export const drawPositions = (length: number, count: number, random: () => number): number[] => {
  const positions = Array.from({ length }, (_, at) => at);
  const wanted = Math.min(count, length);
  for (let at = 0; at < wanted; at++) {
    const other = at + Math.floor(random() * (length - at));
    [positions[at], positions[other]] = [positions[other] as number, positions[at] as number];
  }
  return positions.slice(0, wanted).sort((left, right) => left - right);
};

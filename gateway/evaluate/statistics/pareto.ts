/** The members that no other beats: better on one of quality and cost and no worse on the other. Order is kept. */
export const paretoFront = <T extends { readonly quality: number; readonly cost: number }>(all: readonly T[]): T[] =>
  all.filter(
    (one) =>
      !all.some(
        (other) =>
          other.quality >= one.quality &&
          other.cost <= one.cost &&
          (other.quality > one.quality || other.cost < one.cost),
      ),
  );

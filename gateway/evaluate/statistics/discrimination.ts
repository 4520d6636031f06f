/** A score, and whether what it should tell came true. */
export interface Judged {
  readonly score: number;
  readonly isTrue: boolean;
}

/**
 * The area under the ROC curve: how likely a true case scores above a false one, ties counting half. NaN without cases of
 * both kinds. Source: Mann and Whitney (1947); Hanley and McNeil (1982).
 */
export const rocAuc = (cases: readonly Judged[]): number => {
  const sorted = [...cases].sort((left, right) => left.score - right.score);
  let trueRanks = 0;
  let trues = 0;
  for (let at = 0; at < sorted.length; ) {
    let end = at;
    while (end < sorted.length && sorted[end]!.score === sorted[at]!.score) end++;
    const rank = (at + 1 + end) / 2;
    for (; at < end; at++) {
      if (!sorted[at]!.isTrue) continue;
      trueRanks += rank;
      trues++;
    }
  }
  const falses = sorted.length - trues;
  return (trueRanks - (trues * (trues + 1)) / 2) / (trues * falses);
};

/** The mean square of how far a probability is from what came true. Source: Brier (1950). */
export const brierScore = (cases: readonly Judged[]): number =>
  cases.reduce((sum, { score, isTrue }) => sum + (score - Number(isTrue)) ** 2, 0) / cases.length;

/** Cases of about one score. */
export interface CalibrationBin {
  readonly cases: number;
  readonly meanScore: number;
  readonly shareTrue: number;
}

/** `bins` groups of as equal size as can be, by ascending score. */
export const calibrationOf = (cases: readonly Judged[], bins = 10): CalibrationBin[] => {
  const sorted = [...cases].sort((left, right) => left.score - right.score);
  return Array.from({ length: Math.min(bins, sorted.length) }, (_, bin) => {
    const group = sorted.slice(
      Math.floor((bin * sorted.length) / Math.min(bins, sorted.length)),
      Math.floor(((bin + 1) * sorted.length) / Math.min(bins, sorted.length)),
    );
    return {
      cases: group.length,
      meanScore: group.reduce((sum, { score }) => sum + score, 0) / group.length,
      shareTrue: group.filter(({ isTrue }) => isTrue).length / group.length,
    };
  });
};

/** The mean distance of score and share over the bins, weighted by their cases. Source: Naeini et al. (AAAI 2015). */
export const calibrationError = (bins: readonly CalibrationBin[]): number => {
  const cases = bins.reduce((sum, bin) => sum + bin.cases, 0);
  return bins.reduce((sum, bin) => sum + (bin.cases / cases) * Math.abs(bin.meanScore - bin.shareTrue), 0);
};

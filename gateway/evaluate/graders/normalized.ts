const ARTICLES = /\b(?:a|an|the|der|die|das|le|la|les|el|los|las)\b/g;

/**
 * A text but for what does not matter to most short answers: case, accents, punctuation, articles, blanks. Source: the
 * evaluation script of SQuAD (Rajpurkar et al. 2016), with accents and more articles.
 */
export const normalized = (text: string): string =>
  text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .replace(ARTICLES, ' ')
    .replace(/\s+/g, ' ')
    .trim();

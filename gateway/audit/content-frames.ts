import type { ContentFrame, ContentRef } from '../types.gen.ts';

/** A reference to content that is there or was. */
export type Content = NonNullable<ContentRef>;

/** The frames of a content, in order: one, or the pieces of a long one. */
export const framesOf = (content: Content): readonly ContentFrame[] =>
  content.parts ? [content, ...content.parts] : [content];

/** The reference to a content of these frames; null without one. */
export const contentRef = ([first, ...parts]: readonly ContentFrame[]): ContentRef =>
  first ? { ...first, ...(parts.length > 0 ? { parts } : {}) } : null;

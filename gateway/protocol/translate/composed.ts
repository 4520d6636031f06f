import type { Translation, TranslationContext } from '../translation.ts';

/**
 * Two translations as one, by way of the wire format where they meet. Throws TypeError when they do not meet. Errors of
 * the second name fields of the format between.
 */
export const composed = (first: Translation, second: Translation): Translation => {
  if (first.to !== second.from) {
    throw new TypeError(`${first.from} → ${first.to} and ${second.from} → ${second.to} do not meet`);
  }
  /** What the second translation would know, had the caller spoken the format between. Usage is always read there. */
  const between = (context: TranslationContext): TranslationContext => ({
    ...context,
    body: first.request(context.body),
    includeUsage: true,
  });
  return {
    from: first.from,
    to: second.to,
    request: (body) => second.request(first.request(body)),
    answer: (body, context) => first.answer(second.answer(body, between(context)), context),
    events(context) {
      const inner = second.events(between(context));
      const outer = first.events(context);
      return {
        push: (event) => inner.push(event).flatMap((said) => outer.push(said)),
        end() {
          // What the inner one still has to say is news to the outer one.
          const last = inner.end().flatMap((said) => outer.push(said));
          return [...last, ...outer.end()];
        },
      };
    },
  };
};

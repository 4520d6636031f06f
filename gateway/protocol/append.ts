/** Adds items at the end of a list, however many: a spread of a hundred thousand is too many arguments for a call. */
export const append = <T>(list: T[], items: Iterable<T>): void => {
  for (const item of items) list.push(item);
};

/** What stands for a name that is not on a list, or one too many. */
export const OTHER = 'other';

/**
 * Keeps the values of a label few: the first `most` names that are known stand for themselves, all others are `other`.
 * So neither a caller that makes up names nor a policy that changes them for years fills the memory.
 */
export class BoundedNames {
  readonly #seen = new Set<string>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** `name` as a label; `isKnown` whether it comes from a closed list. */
  of(name: string, isKnown: boolean): string {
    if (!isKnown) return OTHER;
    if (this.#seen.has(name)) return name;
    if (this.#seen.size >= this.#most) return OTHER;
    this.#seen.add(name);
    return name;
  }
}

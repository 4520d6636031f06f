/** The request that an answer came of, and whose it was. */
export interface RatedRequest {
  readonly org: string;
  readonly team: string;
  readonly user: string;
  readonly keyId: string;
}

/** What somebody says of an answer. */
export interface Opinion {
  readonly decisionId: string;
  /** Who says it, within the organisation: `user <name>` or `key <id>`. */
  readonly source: string;
  readonly org: string;
  readonly timeMs: number;
  readonly score: number | null;
  readonly label: string | null;
  /** With personal data masked. */
  readonly comment: string | null;
}

/** What applications say of answers. Its calls reject while the store is away. */
export interface FeedbackBook {
  /**
   * The request of a decision, whichever gateway of the store answered it; of one just made waits for the ledger a moment.
   * Undefined when there is none.
   */
  find(decisionId: string): Promise<RatedRequest | undefined>;
  /** Keeps an opinion in place of what the same source said of the same answer before. */
  keep(opinion: Opinion): Promise<void>;
}

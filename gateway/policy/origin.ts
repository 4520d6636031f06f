/** Where bundles and the rollout file are found: a folder, or a server. */
export interface BundleOrigin {
  /** For people and events: the folder or the address. */
  readonly place: string;
  /** Whether there is a rollout.yaml; else `read('')` gives the one bundle. */
  readonly hasRollout: boolean;
  /**
   * A file's bytes. Rejects with an Error; one with a `code` (string) is passing, such as a missing file or the network,
   * and is tried again; any other stays wrong until the content changes.
   */
  read(name: string, limitBytes: number): Promise<Buffer>;
  /** Calls `look` whenever something may have changed, and on a slow beat. `look` never rejects. */
  follow(look: () => unknown): { close(): void };
}

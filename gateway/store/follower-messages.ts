/** To the worker. `catchUp` is answered once; `close` ends the worker after the batch under way. */
export type FollowerRequest = { readonly do: 'catchUp'; readonly id: number } | { readonly do: 'close' };

/** From the worker. Without an id it tells of a look of the worker's own; after a failed one it tries again by itself. */
export type FollowerReply =
  | { readonly type: 'ready' }
  | { readonly type: 'caughtUp'; readonly id?: number; readonly rows: number }
  | { readonly type: 'failed'; readonly id?: number; readonly message: string };

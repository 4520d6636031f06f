import { createFolderOrigin } from './folder-origin.ts';
import { createHttpOrigin } from './http-origin.ts';
import type { BundleOrigin } from './origin.ts';

/** The origin that a config names: an http(s) address, else a folder. */
export const createOrigin = (bundles: {
  readonly source: string;
  readonly token: string;
  readonly pollMs: number;
}): BundleOrigin => {
  const { source: url, token, pollMs } = bundles;
  return /^https?:/.test(url) ? createHttpOrigin({ url, token, pollMs }) : createFolderOrigin(url, pollMs);
};

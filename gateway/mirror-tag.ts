import type { Input } from './types.gen.ts';

/** The tag by which reports and budgets tell mirrored requests apart; its value is the mirror's id. No caller may send it. */
export const MIRROR_TAG = 'mirror';

/** What the copy of a request is for: the same, under the mirror's tag. */
export const mirroredPurpose = (purpose: Input['purpose'], mirrorId: string): Input['purpose'] => ({
  ...purpose,
  tags: { ...purpose.tags, [MIRROR_TAG]: mirrorId },
});

/** The subject of a mirror's budget in an organisation. */
export const mirrorSubject = (org: string, mirrorId: string): string => `${org}/${MIRROR_TAG}=${mirrorId}`;

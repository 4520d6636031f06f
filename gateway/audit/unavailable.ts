import { GatewayError } from '../errors.ts';

/** The error of a record or a content that was not taken. */
export const unavailable = (message: string, cause?: unknown): GatewayError =>
  new GatewayError('audit_unavailable', message, { cause });

/** What the disk's refusal means for `what`. */
export const refusalOf = (cause: unknown, what: string): string => {
  const code = (cause as { code?: unknown } | null)?.code;
  return code === 'ENOSPC'
    ? 'the audit disk is full'
    : `the audit disk refused ${what}${code ? ` (${String(code)})` : ''}`;
};

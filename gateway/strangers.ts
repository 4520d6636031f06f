import type { AuditLog } from './audit/audit-log.ts';

/** Records of one address in one second before the rest is only counted. */
const RECORDS_PER_SECOND = 10;
/** Records of all addresses in one second: a stranger may have as many addresses as it wants. */
const RECORDS_OF_ALL = 200;

/**
 * Bounds what failures before authentication may write to the audit log, so that a stranger cannot fill the disk:
 * each address gets some records a second and all together some more; the excess becomes one counted record a second.
 */
export interface Strangers {
  /** Whether this failure is recorded by itself; if not it has been counted. */
  record(address: string): boolean;
  close(): void;
}

/** Opens the bound; it writes to `audit` once a second while there is something to say. */
export const openStrangers = (audit: AuditLog, onError: (error: unknown) => void): Strangers => {
  let seen = new Map<string, number>();
  let recorded = 0;
  let suppressed = 0;
  const flush = (): void => {
    seen = new Map();
    recorded = 0;
    if (suppressed === 0) return;
    const count = suppressed;
    suppressed = 0;
    audit.append({ kind: 'suppressed', time: new Date().toISOString(), count }).catch((error: unknown) => {
      suppressed += count;
      onError(error);
    });
  };
  const timer = setInterval(flush, 1000);
  timer.unref();
  return {
    record(address) {
      const count = seen.get(address) ?? 0;
      if (count >= RECORDS_PER_SECOND || recorded >= RECORDS_OF_ALL) {
        suppressed += 1;
        return false;
      }
      seen.set(address, count + 1);
      recorded += 1;
      return true;
    },
    close() {
      clearInterval(timer);
      flush();
    },
  };
};

import type { AuditLog } from './audit/audit-log.ts';
import type { Telemetry } from './telemetry/telemetry.ts';

/** The log, with the time of each append told to `telemetry`. */
export const timedAudit = (log: AuditLog, telemetry: Pick<Telemetry, 'record'>): AuditLog => ({
  append: async (record, content) => {
    const started = performance.now();
    let result: 'ok' | 'failed' = 'failed';
    try {
      const ref = await log.append(record, content);
      result = 'ok';
      return ref;
    } finally {
      telemetry.record('aegis.audit.append.duration', { result }, (performance.now() - started) / 1000);
    }
  },
  openContent: (retentionDays) => log.openContent(retentionDays),
  get healthy() {
    return log.healthy;
  },
  close: () => log.close(),
});

import type { Logger } from 'pino';
import type { Alerts } from './alerts/alerts.ts';
import type { AuditLog } from './audit/audit-log.ts';
import type { Settings } from './config.ts';
import type { TokenVerifier } from './identity/token-verifier.ts';
import type { Limiter } from './limit/limiter.ts';
import type { Policy, PolicySource } from './policy/policy.ts';
import type { PriceTable } from './prices.ts';
import type { Detector, OpenVault } from './redact/redactor.ts';
import type { Facts } from './stages/describe.ts';
import type { FeedbackBook } from './store/feedback-book.ts';
import type { KeyStore } from './store/key-store.ts';
import type { Strangers } from './strangers.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { Upstream } from './upstream/upstream.ts';

/** Everything a request needs, behind interfaces. `wire.ts` alone knows what stands behind them. */
export interface Gateway {
  readonly limits: Settings['limits'];
  readonly policies: PolicySource;
  readonly keys: KeyStore;
  readonly tokens: TokenVerifier;
  readonly limiter: Limiter;
  readonly facts: Facts;
  readonly detector: Detector;
  readonly openVault: OpenVault;
  readonly audit: AuditLog;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** The prices of a policy's catalogue. */
  prices(policy: Policy): PriceTable;
  readonly feedback: FeedbackBook;
  readonly strangers: Strangers;
  readonly telemetry: Telemetry;
  /** Null where nobody is told. */
  readonly alerts: Alerts | null;
  readonly log: Logger;
  /** Whether the gateway is stopping: each answer then closes its connection. */
  readonly isDraining: () => boolean;
}

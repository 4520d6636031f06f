import type { ReportSource } from '../experiments/experiment-reports.ts';
import type { Explanations } from '../explain/explanations.ts';
import type { Gateway } from '../gateway.ts';
import type { KeyRegistry } from '../store/key-registry.ts';
import type { UsageReports } from '../store/usage-reports.ts';
import type { Input } from '../types.gen.ts';
import type { PlatformPolicies } from './platform-policies.ts';

/** The key that an operation concerns, as the policy sees it. */
export type KeyTarget = NonNullable<Input['target']>;

/** What a route answers. */
export interface Answer {
  readonly status: number;
  readonly body: object;
}

/** What the control plane works on, beside the gateway. */
export interface AdminParts {
  readonly keys: KeyRegistry;
  readonly usage: UsageReports;
  readonly policies: PlatformPolicies;
  readonly explanations: Explanations;
  readonly experiments: ReportSource;
}

/** One request to the control plane whose caller may use the operation. */
export interface Operation extends AdminParts {
  readonly gateway: Gateway;
  /** Undefined where a one-time token was sent. */
  readonly caller: Input['caller'] | undefined;
  /** The organisation that the policy confines it to; null: none. */
  readonly org: string | null;
  /** The credential as sent. */
  readonly credential: string;
  /** What stood for `{id}` in the path; '' without. */
  readonly id: string;
  readonly query: URLSearchParams;
  /** Of the route's schema; undefined without one. */
  readonly body: unknown;
  /** Asks the policy about a key. Throws GatewayError `policy_denied` or `policy_unavailable`. */
  permit(target: KeyTarget): void;
  /** Tells the record what the request is about. */
  tell(subject: Subject): void;
  /**
   * Puts on record what is about to be done, before it is. Throws GatewayError `audit_unavailable`, and then it must not
   * be done.
   */
  announce(): Promise<void>;
}

/** The key or the decision that a record is about. */
export interface Subject {
  readonly key?: string;
  readonly target?: KeyTarget;
  readonly decision?: string;
}

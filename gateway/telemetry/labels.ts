import { ERRORS, type ErrorCode } from '../errors.ts';
import type { Exchange } from '../exchange.ts';
import type { Ending } from '../outcome.ts';
import type { UpstreamKind } from '../protocol/protocol.ts';
import type { PolicyData } from '../types.gen.ts';
import { BoundedNames, OTHER } from './bounded-names.ts';
import { OPERATIONS, PROVIDERS } from './gen-ai.ts';

/** Distinct values of a label at most. */
const MOST_ORGS = 200;
const MOST_MODELS = 200;
const MOST_DENY_CODES = 200;
const MOST_UPSTREAM_ERRORS = 100;

/** A provider's refusal that the caller got: an error of the caller's, and none of docs/errors.md. */
export const UPSTREAM_REJECTED = 'upstream_rejected';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE']);

/** The model that leaves the choice to the policy. */
const AUTO = 'auto';

/** What is known of an exchange, in words of closed lists. */
export interface RequestLabels {
  /** `_OTHER` for what is no method of HTTP, as OpenTelemetry has it. */
  readonly method: string;
  readonly org: string | null;
  /** A code of docs/errors.md; null when nothing failed. */
  readonly code: ErrorCode | typeof UPSTREAM_REJECTED | typeof OTHER | null;
  readonly operation: string | null;
  /** The model asked for. */
  readonly requestModel: string | null;
}

/**
 * Turns what callers and policies say into labels: names that no policy or config has are `other`, and of those that
 * they have only so many are told apart. Users, keys and tags are never labels.
 */
export const createLabels = (
  upstreams: ReadonlyMap<string, UpstreamKind>,
  currentData: () => PolicyData | undefined,
): {
  of(x: Exchange, ending: Ending): RequestLabels;
  upstream(name: string): string;
  provider(upstream: string): string;
  model(name: string, x: Exchange): string;
  denyCode(code: string): string;
  upstreamError(error: string | null): string | null;
} => {
  const orgs = new BoundedNames(MOST_ORGS);
  const models = new BoundedNames(MOST_MODELS);
  const denyCodes = new BoundedNames(MOST_DENY_CODES);
  const upstreamErrors = new BoundedNames(MOST_UPSTREAM_ERRORS);
  const dataOf = (x: Exchange): PolicyData | undefined => x.policy?.data ?? currentData();
  const model = (name: string, x: Exchange): string => {
    const known = dataOf(x)?.models;
    return models.of(name, name === AUTO || (known !== undefined && Object.hasOwn(known, name)));
  };
  return {
    of: (x, ending) => {
      const { head, caller, described } = x.products;
      const known = caller && dataOf(x)?.organizations;
      const asked = described?.input.request.model ?? '';
      return {
        method: METHODS.has(x.method) ? x.method : '_OTHER',
        org: caller ? orgs.of(caller.org, known !== undefined && Object.hasOwn(known, caller.org)) : null,
        code: codeOf(ending),
        operation: head ? OPERATIONS[head.endpoint] : null,
        requestModel: asked === '' ? null : model(asked, x),
      };
    },
    upstream: (name) => (upstreams.has(name) ? name : OTHER),
    provider: (upstream) => {
      const kind = upstreams.get(upstream);
      return kind === undefined ? OTHER : PROVIDERS[kind];
    },
    model,
    denyCode: (code) => denyCodes.of(code, true),
    upstreamError: (error) => (error === null ? null : upstreamErrors.of(error, true)),
  };
};

/** The code of a failure. A rule's own code belongs to `policy_denied`: aegis.decisions has it. */
const codeOf = ({ outcome, error }: Ending): RequestLabels['code'] => {
  if (error === null) return null;
  if (outcome === 'denied') return 'policy_denied';
  if (Object.hasOwn(ERRORS, error)) return error as ErrorCode;
  return error === UPSTREAM_REJECTED ? UPSTREAM_REJECTED : OTHER;
};

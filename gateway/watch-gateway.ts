import type { Gateway } from './gateway.ts';
import type { Telemetry } from './telemetry/telemetry.ts';

/** What else can be read of a gateway, beside its own parts. */
export interface GatewayReadings {
  readonly openRequests: () => number;
  readonly mirrors: { readonly open: { readonly size: number }; readonly waiting: number };
  /** Why it is not ready; empty when it is. */
  readonly problems: () => readonly string[];
  /** Since when the table of keys is as the store has it, milliseconds since 1970. */
  readonly keysFreshMs: () => number;
  /** Whether keys are those of a while ago, because the store cannot be looked at. */
  readonly isKeysDegraded: () => boolean;
  /** When the bundle source was last read, milliseconds since 1970; 0: never. */
  readonly bundleFreshMs: () => number;
  /** Where the rollout stands. */
  readonly rollout: () => RolloutReading;
  /** Whether the last look at the bundle source found nothing it could serve. */
  readonly isBundleRefused: () => boolean;
  /** Whether the ledger could not follow the audit log when it looked last. */
  readonly isLedgerBehind: () => boolean;
  /** Whether limits are kept by less than the real store. */
  readonly isLimiterDegraded: () => boolean;
}

/** What is told of a rollout; `stage` is null without one. */
export interface RolloutReading {
  readonly stage: (typeof ROLLOUT_STAGES)[number] | null;
  readonly percent: number;
  readonly guards: readonly { readonly guard: string; readonly value: number | null }[];
  /** How many requests by how two bundles differ on them. */
  readonly compared: Readonly<Record<string, number>>;
}

const ROLLOUT_STAGES = ['shadow', 'canary', 'full', 'rolled_back'] as const;
const STATES = ['up', 'degraded', 'down'] as const;
const CIRCUITS = ['closed', 'half_open', 'open'] as const;

/** Lets telemetry read the state of a gateway whenever metrics are collected; nothing runs in between. */
export const watchGateway = (telemetry: Telemetry, gw: Gateway, readings: GatewayReadings): void => {
  telemetry.watch('aegis.requests.open', () => [{ value: readings.openRequests() }]);
  telemetry.watch('aegis.mirrors.open', () => [
    { value: readings.mirrors.open.size, labels: { state: 'under_way' } },
    { value: readings.mirrors.waiting, labels: { state: 'waiting' } },
  ]);
  telemetry.watch('aegis.ready', () => [{ value: flag(readings.problems().length === 0) }]);
  telemetry.watch('aegis.keys.age', () => [{ value: Math.max(0, Date.now() - readings.keysFreshMs()) / 1000 }]);
  telemetry.watch('aegis.degraded', () => [
    { value: flag(!gw.audit.healthy), labels: { part: 'audit' } },
    { value: flag(!gw.policies.current || readings.isBundleRefused()), labels: { part: 'bundle' } },
    { value: flag(readings.isKeysDegraded()), labels: { part: 'keys' } },
    { value: flag(readings.isLedgerBehind()), labels: { part: 'ledger' } },
    { value: flag(readings.isLimiterDegraded()), labels: { part: 'limiter' } },
  ]);
  const limiter = () => gw.limiter.state?.();
  telemetry.watch('aegis.limiter.replicas', () => values(limiter()?.replicas));
  telemetry.watch('aegis.limiter.settlements.waiting', () => values(limiter()?.waiting));
  telemetry.watch('aegis.limiter.settlements.dropped', () => values(limiter()?.dropped));
  telemetry.watch('aegis.bundle.info', () => {
    const ref = gw.policies.current?.ref;
    return ref ? [{ value: 1, labels: { revision: ref.revision, digest: ref.digest } }] : [];
  });
  const openedMs = Date.now();
  telemetry.watch('aegis.bundle.source.age', () => [
    { value: Math.max(0, Date.now() - (readings.bundleFreshMs() || openedMs)) / 1000 },
  ]);
  telemetry.watch('aegis.experiment.stopped', () => [{ value: Object.keys(gw.facts.experiments()).length }]);
  watchRollout(telemetry, readings.rollout);
  watchUpstreams(telemetry, gw.upstreams);
};

const watchRollout = (telemetry: Telemetry, rollout: GatewayReadings['rollout']): void => {
  telemetry.watch('aegis.rollout.stage', () => {
    const current = rollout().stage ?? 'none';
    return (['none', ...ROLLOUT_STAGES] as const).map((stage) => ({
      value: flag(stage === current),
      labels: { stage },
    }));
  });
  telemetry.watch('aegis.rollout.share', () => [{ value: rollout().percent / 100 }]);
  telemetry.watch('aegis.rollout.compared', () =>
    Object.entries(rollout().compared).map(([kind, value]) => ({ value, labels: { kind } })),
  );
  telemetry.watch('aegis.rollout.guard', () =>
    rollout().guards.flatMap(({ guard, value }) => (value === null ? [] : [{ value, labels: { guard } }])),
  );
};

const watchUpstreams = (telemetry: Telemetry, upstreams: Gateway['upstreams']): void => {
  const statuses = () => [...upstreams.values()].map((upstream) => upstream.status());
  telemetry.watch('aegis.upstream.state', () =>
    statuses().flatMap(({ name, state: current }) =>
      STATES.map((state) => ({ value: flag(state === current), labels: { upstream: name, state } })),
    ),
  );
  telemetry.watch('aegis.upstream.circuit', () =>
    statuses().flatMap(({ name, circuit }) =>
      CIRCUITS.map((state) => ({ value: flag(state === circuit), labels: { upstream: name, state } })),
    ),
  );
  telemetry.watch('aegis.upstream.keys', () =>
    statuses().flatMap(({ name, keys }) =>
      (['ready', 'resting'] as const).map((state) => ({
        value: keys.filter((key) => key.state === state).length,
        labels: { upstream: name, state },
      })),
    ),
  );
  telemetry.watch('aegis.upstream.error_rate', () =>
    statuses().map(({ name, error_rate: value }) => ({ value, labels: { upstream: name } })),
  );
  telemetry.watch('aegis.upstream.in_flight', () =>
    statuses().map(({ name, in_flight: value }) => ({ value, labels: { upstream: name } })),
  );
  telemetry.watch('aegis.upstream.waiting', () =>
    statuses().map(({ name, waiting: value }) => ({ value, labels: { upstream: name } })),
  );
  telemetry.watch('aegis.upstream.retries.left', () =>
    statuses().map(({ name, retry_budget: { left: value } }) => ({ value, labels: { upstream: name } })),
  );
  telemetry.watch('aegis.upstream.fresh_retries', () =>
    statuses().map(({ name, fresh_retries: value }) => ({ value, labels: { upstream: name } })),
  );
};

const values = (value: number | undefined): { value: number }[] => (value === undefined ? [] : [{ value }]);

const flag = (is: boolean): 0 | 1 => (is ? 1 : 0);

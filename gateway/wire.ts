import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pino, { type Logger } from 'pino';
import { createAdminApi } from './admin/admin-api.ts';
import { createControlPlane } from './admin/control-plane.ts';
import { createPlatformPolicies } from './admin/platform-policies.ts';
import { openAlerts } from './alerts/open-alerts.ts';
import { createApp } from './app.ts';
import { auditLayout } from './audit/layout.ts';
import { openAuditLog } from './audit/log.ts';
import { conclude } from './conclude.ts';
import { ConfigError, type Settings } from './config.ts';
import { Exchange } from './exchange.ts';
import { openExperimentReader } from './experiments/experiment-reader.ts';
import { openExperimentWatch } from './experiments/watch-experiments.ts';
import { openExplanations } from './explain/explanations.ts';
import type { Gateway } from './gateway.ts';
import { openHomeSecret } from './home-secret.ts';
import { openTokenVerifier } from './identity/jwt.ts';
import { HistoryAway, type SharedHistory, type SpendHistory } from './limit/account.ts';
import { createAwaitingLimiter } from './limit/awaiting.ts';
import type { Limiter, Scope } from './limit/limiter.ts';
import { createMemoryLimiter } from './limit/memory.ts';
import { proveLimiter } from './limit/prove.ts';
import { openRedisLimiter } from './limit/redis.ts';
import { isLoopback } from './loopback.ts';
import { FREE, unknownOutcome } from './outcome.ts';
import { GATEWAY_VERSION } from './policy/activate.ts';
import { createOrigin } from './policy/create-origin.ts';
import { trustsDemoKey } from './policy/demo-key.ts';
import type { Policy, PolicySource } from './policy/policy.ts';
import { readPublicKeys } from './policy/signature.ts';
import { type FollowedSource, openPolicySource } from './policy/source.ts';
import { createPriceTable, type PriceTable } from './prices.ts';
import { createPseudonyms } from './pseudonym.ts';
import { createDetector } from './redact/detect.ts';
import { createVaults } from './redact/vault.ts';
import { drain, listen } from './server.ts';
import type { Facts } from './stages/describe.ts';
import { newIds, timeOfId } from './stages/ids.ts';
import { createMirrors } from './stages/mirror.ts';
import { createAlertOutbox } from './store/alert-outbox.ts';
import { type Database, openDatabase } from './store/database.ts';
import { createExperimentStops } from './store/experiment-stops.ts';
import { createFeedbackStore } from './store/feedback-store.ts';
import { createKeyRegistry } from './store/key-registry.ts';
import { createKey, type KeyGrant } from './store/keys.ts';
import { type LedgerFollower, openLedgerFollower } from './store/ledger-follower.ts';
import { type OpenKeyStore, openKeyStore } from './store/open-key-store.ts';
import { openPepper } from './store/pepper.ts';
import { createRolloutStore } from './store/rollout-store.ts';
import { querySpent, spentSince } from './store/spend-history.ts';
import { openUsageReports } from './store/usage-reports.ts';
import { openStrangers } from './strangers.ts';
import { openTelemetry } from './telemetry/open-telemetry.ts';
import { timedAudit } from './timed-audit.ts';
import type { AuditEvent, Input, PolicyData } from './types.gen.ts';
import { openUpstreams } from './upstream/upstreams.ts';
import { watchGateway } from './watch-gateway.ts';

/** How long a stop waits for a shared ledger to have the last requests. */
const LAST_ROWS_MS = 2_000;

/** How long requests under way may take after a stop was asked for: the whole stop fits the 30 s that Kubernetes gives. */
const GRACE_MS = 25_000;

/** A gateway that serves. */
export interface Running {
  readonly url: string;
  readonly adminUrl: string;
  readonly gateway: Gateway;
  /** Makes a key and gives its secret; it is valid at once. */
  createKey(grant: KeyGrant): Promise<string>;
  /** Stops: no new connection, requests under way finish within a grace, everything is closed. */
  close(): Promise<void>;
}

/**
 * Opens everything a config names and listens. The one place that knows implementations. Throws ConfigError when the
 * config cannot be served, and what the parts throw; whatever was opened is closed again. At its end requests under way
 * have `graceMs`.
 */
export const openGateway = async (settings: Settings, graceMs = GRACE_MS): Promise<Running> => {
  const closers: (() => Promise<void> | void)[] = [];
  // Every one, in reverse: one that fails must not keep the audit log from its end.
  const closeAll = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (let close = closers.pop(); close; close = closers.pop()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  };
  try {
    return await open(settings, graceMs, closers, closeAll);
  } catch (error) {
    await closeAll().catch(() => {});
    throw error;
  }
};

const open = async (
  settings: Settings,
  graceMs: number,
  closers: (() => Promise<void> | void)[],
  closeAll: () => Promise<void>,
): Promise<Running> => {
  const log = pino({ level: settings.logLevel, base: null }, pino.destination({ dest: 2, sync: false }));
  const { home, logHome } = settings;
  for (const folder of [home, logHome]) mkdirSync(folder, { recursive: true, mode: 0o700 });

  const publicKeys = await readPublicKeys(settings.bundles.publicKeys);
  // Its private half is in the repository: anybody could sign a policy for a gateway that trusts it.
  if (trustsDemoKey(publicKeys) && !(isLoopback(settings.listen.host) && isLoopback(settings.adminListen.host))) {
    throw new ConfigError([
      'bundles.public_keys trusts the demo key, whose private key is public: such a gateway listens on 127.0.0.1 only. ' +
        'Make a key of your own (README.md, “A gateway of your own”), or listen on loopback.',
    ]);
  }

  let serving: PolicySource | undefined;
  const { otlpEndpoint, ...otlp } = settings.telemetry;
  const telemetry = openTelemetry({
    upstreams: new Map(settings.upstreams.map(({ name, kind }) => [name, kind])),
    policyData: () => serving?.current?.data,
    version: GATEWAY_VERSION,
    otlp: otlpEndpoint === null ? null : { ...otlp, endpoint: otlpEndpoint },
    tracesSampleRatio: otlp.tracesSampleRatio,
    onWarning: (message, detail) => log.warn(detail, message),
  });
  // Closes last of all: it has the ends of all requests to send.
  closers.push(() => telemetry.close());

  const recovered = await openAuditLog({
    home: logHome,
    checkpointMs: settings.checkpointMs,
    onWarning: (message, cause) => log.warn({ cause: String(cause) }, message),
  });
  closers.push(() => recovered.close());
  const audit = timedAudit(recovered, telemetry);
  const record = (event: string, detail: AuditEvent['detail'], level: 'info' | 'warn' = 'info'): void => {
    log[level]({ event, ...detail }, event);
    audit.append({ kind: 'event', time: new Date().toISOString(), event, detail }).catch((error: unknown) => {
      log.error({ event, cause: String(error) }, 'an event could not be recorded');
    });
  };
  // Each intent gets exactly one outcome, also those whose gateway died.
  await Promise.all(recovered.openIntents.map((intent) => audit.append(unknownOutcome(intent))));
  const unknown = recovered.openIntents.filter((intent) => intent.mirror_of === undefined).length;
  telemetry.count('aegis.requests', { outcome: 'unknown' }, unknown);

  const { url } = settings.store;
  const isShared = url !== '';
  // Keys, and all that a request needs, are in memory: a shared store that is away does not stop the start.
  const database = await openDatabase(home, url, { mayBeAway: true });
  closers.push(() => database.close());
  const pepper = openPepper(home);
  const onStoreError = (error: unknown): void => log.error({ cause: String(error) }, 'the store failed');
  const keys = await openKeyStore(database.db, pepper, {
    maxStaleMs: settings.identity.maxStaleMs,
    ...(isShared && { snapshot: join(home, 'keys.snapshot') }),
    onError: onStoreError,
  });
  closers.push(() => keys.close());
  const usage = openUsageReports({ home, url });
  closers.push(() => usage.close());
  const explanations = openExplanations({ home, url });
  closers.push(() => explanations.close());
  const tokens = openTokenVerifier(settings.identity.jwt, { maxStaleMs: settings.identity.maxStaleMs, logger: log });
  closers.push(() => tokens.close());
  const ledger = await openLedgerFollower({
    home,
    logHome,
    url,
    segments: auditLayout(logHome).chain,
    decisionsDays: settings.store.decisionsDays,
    worker: new URL('./ledger-worker.ts', import.meta.url),
    onError: onStoreError,
  });
  closers.push(async () => {
    // A gateway that stops for good leaves nothing behind that only its own log has.
    if (isShared && ledger.healthy)
      await Promise.race([ledger.catchUp(), pause(LAST_ROWS_MS, undefined, { ref: false })]).catch(() => {});
    await ledger.close();
  });
  // Budgets begin where the ledger says they are: it must know all that happened before.
  if (!isShared) await ledger.catchUp();
  const limiter = await openLimiter(settings, isShared ? sharedHistory(database, ledger, keys) : database, log);
  closers.push(() => limiter.close());
  await proveLimiter(limiter, Date.now());

  const rollouts = createRolloutStore(database.db);
  const policies = await openPolicySource({
    origin: createOrigin(settings.bundles),
    publicKeys,
    home: logHome,
    rollouts,
    onEvent: ({ event, detail }) => {
      record(event, detail, event === 'bundle_activated' || event === 'rollout_stage' ? 'info' : 'warn');
      if (event === 'bundle_activated') telemetry.count('aegis.bundle.activations', { result: 'activated' });
      if (event === 'bundle_refused') telemetry.count('aegis.bundle.activations', { result: 'refused' });
      if (event === 'rollout_rolled_back') telemetry.count('aegis.rollout.rollbacks', { guard: String(detail.guard) });
    },
  });
  serving = policies;
  closers.push(() => policies.close());

  const experimentStops = createExperimentStops(database.db);
  const experimentReader = openExperimentReader({ home, url });
  closers.push(() => experimentReader.close());
  const experiments = openExperimentWatch({
    policies: () => policiesOf(policies),
    reader: experimentReader,
    stops: experimentStops,
    onStop: (stop, { limit, worse_by, low, high }) => {
      const { timeMs: _timeMs, ...what } = stop;
      record('experiment_stopped', { ...what, limit, worse_by, low, high }, 'warn');
      telemetry.count('aegis.experiment.stops', { guard: stop.guard });
    },
    onError: (error) => log.warn({ cause: String(error) }, 'experiments cannot be judged'),
  });
  closers.push(() => experiments.close());

  const alerts =
    settings.alerts &&
    openAlerts({
      ...settings.alerts,
      outbox: createAlertOutbox(database.db),
      spend: (subjects, now) => limiter.spend(subjects, now),
      isAuditHealthy: () => audit.healthy,
      log,
    });
  closers.push(() => alerts?.close());

  const upstreams = await openUpstreams(settings.upstreams, log, (...key) => alerts?.outOfMoney(...key));
  closers.push(async () => {
    for (const upstream of upstreams.values()) await upstream.close();
  });
  const strangers = openStrangers(audit, (error) => log.error({ cause: String(error) }, 'the audit failed'));
  closers.push(() => strangers.close());

  let isDraining = false;
  const gateway: Gateway = {
    limits: settings.limits,
    policies,
    keys,
    tokens,
    limiter,
    facts: factsOf(upstreams, limiter, pepper, experiments.experiments),
    detector: createDetector(),
    openVault: createVaults(openHomeSecret(home, 'placeholder.secret')),
    audit,
    upstreams,
    prices: pricesByPolicy(),
    feedback: createFeedbackStore(database.db, timeOfId),
    strangers,
    telemetry,
    alerts,
    log,
    isDraining: () => isDraining,
  };

  const exchanges = new Set<Exchange>();
  const mirrors = createMirrors(gateway);
  watchGateway(telemetry, gateway, {
    openRequests: () => exchanges.size,
    mirrors,
    problems: () => problemsOf(gateway, isDraining),
    keysFreshMs: () => keys.freshMs,
    isKeysDegraded: () => keys.degraded,
    bundleFreshMs: () => policies.freshMs,
    rollout: () => policies.rollout(),
    isBundleRefused: () => policies.isRefusing,
    isLedgerBehind: () => !ledger.healthy,
    isLimiterDegraded: () => limiter.state?.().mode === 'local',
  });
  const app = createApp(gateway, exchanges, mirrors.offer);
  // Koa tells of sockets that callers closed; the exchange's outcome has it already.
  app.on('error', (error: unknown) => log.debug({ cause: String(error) }, 'connection'));
  // The control plane closes last: it says that the gateway is stopping while requests end.
  const control = await listen(
    createControlPlane(
      () => ({
        problems: problemsOf(gateway, isDraining),
        policy: policies.current ? { ...policies.current.ref } : null,
        limits: limiter.state?.().mode ?? 'memory',
        store: isShared ? (keys.degraded ? 'away' : 'shared') : 'embedded',
        upstreams: gateway.facts.upstreams(),
      }),
      telemetry.prometheus,
      createAdminApi(gateway, {
        keys: createKeyRegistry(database.db, pepper, () => keys.refresh()),
        usage,
        policies: createPlatformPolicies({ source: policies, store: rollouts, home: logHome, publicKeys }),
        explanations,
        experiments: { reader: experimentReader, stops: experimentStops },
      }),
    ),
    settings.adminListen,
  );
  closers.push(() => drain(control.server, [], 0));
  const onRefused = (address: string, status: number, code: string): string => {
    const x = new Exchange(newIds(), address);
    const ending = { outcome: 'rejected', status, error: code, usage: null, cost: FREE } as const;
    conclude(gateway, x, ending).catch((error: unknown) => log.error({ cause: String(error) }, 'the audit failed'));
    return x.ids.requestId;
  };
  const data = await listen(app.callback(), settings.listen, onRefused, settings.reusePort);
  closers.push(() => drain(data.server, [exchanges, mirrors.open], graceMs));
  record('start', { url: data.url, pid: process.pid });

  return {
    url: data.url,
    adminUrl: control.url,
    gateway,
    async createKey(grant) {
      const { secret } = await createKey(database.db, pepper, grant);
      await keys.refresh();
      return secret;
    },
    async close() {
      isDraining = true;
      record('stop', { open_requests: exchanges.size });
      await closeAll();
    },
  };
};

/**
 * The limiter of a single gateway, or of several that count on one Redis. What was spent before comes from the embedded
 * store at once, from a shared one later.
 */
const openLimiter = async (
  { redis: { url, prefix } }: Settings,
  store: Database | SharedHistory,
  log: Logger,
): Promise<Limiter & { close(): Promise<void> }> => {
  const isShared = typeof store === 'function';
  const history: SpendHistory | SharedHistory = isShared ? store : (...question) => spentSince(store, ...question);
  if (url === '') {
    const open = (atOnce: SpendHistory): Limiter => createMemoryLimiter({ history: atOnce });
    const limiter = isShared ? createAwaitingLimiter(open, history) : open(history as SpendHistory);
    return { ...limiter, async close() {} };
  }
  return openRedisLimiter({
    url,
    prefix,
    history,
    onWarning: (message) => log.warn(message),
    onChange: ({ mode, reason, replicas }) => {
      if (mode === 'shared') log.info({ replicas }, 'limits are shared on Redis');
      else log.warn({ reason, replicas }, 'Redis is away: limits are local, spend is closed beyond what is held ahead');
    },
  });
};

/** A request waits no longer for what its budgets have spent before. */
const HISTORY_TIMEOUT_MS = 2_000;

/**
 * What was spent by a store that others share, and with which this gateway has just shared all that it knows. Rejects
 * with HistoryAway, at once while the store is known to be away.
 */
const sharedHistory = (database: Database, ledger: LedgerFollower, keys: OpenKeyStore): SharedHistory => {
  const ask: SharedHistory = async (...question) => {
    if (keys.degraded || !ledger.healthy) throw new HistoryAway(new Error('the store is away'));
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error('the store is slow')), HISTORY_TIMEOUT_MS);
    try {
      return await Promise.race([ledger.catchUp().then(() => querySpent(database, ...question)), late]);
    } catch (error) {
      // A subject of another form is the policy's fault and never found.
      if ((error as { name?: unknown } | null)?.name === 'RangeError') throw error;
      throw new HistoryAway(error);
    } finally {
      clearTimeout(timer);
    }
  };
  /** Many requests may find the same budget unknown at the same time. */
  const asked = new Map<string, Promise<number>>();
  return (...question) => {
    const name = question.join(' ');
    const answer = asked.get(name) ?? Promise.resolve(ask(...question)).finally(() => asked.delete(name));
    asked.set(name, answer);
    return answer;
  };
};

/** Facts for the input document: clock, budgets, upstreams. */
const factsOf = (
  upstreams: Gateway['upstreams'],
  limiter: Gateway['limiter'],
  pepper: Uint8Array,
  experiments: Facts['experiments'],
): Facts => ({
  now: Date.now,
  upstreams: () => Object.fromEntries([...upstreams].map(([name, upstream]) => [name, upstream.health()])),
  spend: (caller, purpose, endUser) => limiter.spend(subjectsOf(caller, purpose, endUser), Date.now()),
  pseudonym: createPseudonyms(pepper),
  experiments,
});

/** Whose budgets may concern a request. How subjects are written is told at `spentSince`. */
const subjectsOf = (
  caller: Input['caller'],
  purpose: Input['purpose'],
  endUser: string,
): { scope: Scope; subject: string }[] => {
  const { org } = caller;
  const subjects: { scope: Scope; subject: string }[] = [
    { scope: 'key', subject: caller.id },
    { scope: 'org', subject: org },
  ];
  const inside = (scope: Scope, name: string): void => {
    if (name !== '') subjects.push({ scope, subject: `${org}/${name}` });
  };
  inside('team', caller.team);
  inside('user', caller.user);
  if (endUser !== caller.user) inside('user', endUser);
  for (const group of caller.groups) inside('group', group);
  inside('workflow', purpose.workflow);
  inside('use_case', purpose.use_case);
  for (const [tag, value] of Object.entries(purpose.tags)) inside('tag', `${tag}=${value}`);
  return subjects;
};

/** The data of the policies that decide: of the stable one, and of a candidate. */
const policiesOf = (source: FollowedSource): PolicyData[] => {
  const { stable, candidate } = source.shown();
  return [stable, candidate?.policy].flatMap((policy) => (policy ? [policy.data] : []));
};

/** Price tables, made once a policy. */
const pricesByPolicy = (): Gateway['prices'] => {
  const tables = new WeakMap<Policy, PriceTable>();
  return (policy) => {
    let table = tables.get(policy);
    if (!table) {
      table = createPriceTable(policy.data, policy.ref.revision);
      tables.set(policy, table);
    }
    return table;
  };
};

const problemsOf = (gateway: Gateway, isDraining: boolean): string[] => {
  const problems: string[] = [];
  if (isDraining) problems.push('stopping');
  if (!gateway.policies.current) problems.push('no policy bundle is active');
  if (!gateway.audit.healthy) problems.push('the audit log takes no records');
  return problems;
};

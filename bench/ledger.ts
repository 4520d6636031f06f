import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAuditLog } from '../gateway/audit/log.ts';
import { readAudit } from '../gateway/audit/read.ts';
import { openDatabase } from '../gateway/store/database.ts';
import { parseDimensions } from '../gateway/store/dimensions.ts';
import { createKey } from '../gateway/store/keys.ts';
import { type AuditReader, catchUpLedger } from '../gateway/store/ledger.ts';
import { openKeyStore } from '../gateway/store/open-key-store.ts';
import { spentSince } from '../gateway/store/spend-history.ts';
import { queryUsage } from '../gateway/store/usage.ts';
import type { AuditIntent, AuditOutcome } from '../gateway/types.gen.ts';

// The store's figures, one JSON line each: the ledger from outcome records in memory, where each user's every request is
// another group of the roll-ups, and from an audit log of one program's requests, without their decisions and with them;
// reports, spend of one subject, key lookups. CPU is that of all threads. `node bench/ledger.ts 10000000` loads a year of
// ten million requests (about an hour).

const requests = Number(process.argv[2] ?? 200_000);
const DAYS = 365;
const START = Date.UTC(2026, 0, 1);
const MODELS = ['gpt-5-mini', 'gpt-5', 'claude-haiku', 'claude-sonnet'];

/** 20 organisations, 100 teams, 2,000 users with two courses each: what a university's platform looks like. */
const outcomeOf = (i: number): AuditOutcome => {
  const user = (i * 7919) % 2_000;
  const org = user % 20;
  const model = MODELS[((i * 31) % 7) % 4]!;
  const attempt = { model, upstream: 'openai', status: 200, error: null, ms: 120 };
  return {
    kind: 'outcome',
    id: `dec_${i}`,
    request_id: `req_${i.toString(36).padStart(24, '0')}`,
    time: new Date(START + Math.floor((i / requests) * DAYS * 86_400_000)).toISOString(),
    outcome: i % 50 === 0 ? 'denied' : 'ok',
    status: 200,
    error: null,
    caller: { id: `key_${user}`, org: `org-${org}`, team: `team-${user % 100}`, user: `user-${user}` },
    purpose: {
      workflow: `w-${i % 3}`,
      use_case: 'homework',
      session: '',
      tags: { course: `C${(user % 150) + (i % 2) * 150}` },
    },
    endpoint: 'chat.completions',
    tier: 'standard',
    input: null,
    decision: null,
    bundle: { digest: 'd', revision: 'r' },
    model,
    upstream: 'openai',
    attempts: [attempt],
    usage: {
      input: 800,
      cache_read: 0,
      cache_write: 0,
      cache_write_1h: 0,
      output: 200,
      reasoning: 0,
      source: 'provider',
    },
    cost: { micro_usd: 600 + (i % 100), price_version: 'r' },
    stages_us: {},
    duration_ms: 300 + ((i * 104_729) % 4_000),
    content: null,
  };
};

const read: AuditReader = async function* (_home, options) {
  for (let i = (options as { from?: number }).from ?? 0; i < requests; i++) yield { next: i + 1, record: outcomeOf(i) };
};

/** As large as a real intent: the input and the decision of the reference policy. */
const intentFor = ({ id, time, bundle }: AuditOutcome): AuditIntent => ({
  kind: 'intent',
  id: id!,
  time,
  input: { features: Array.from({ length: 100 }, (_, i) => ({ name: `feature-${i}`, on: i % 2 === 0 })) },
  decision: { allow: true },
  bundle: bundle!,
  reserved_micro_usd: 1_000,
  masked: {},
  content: null,
});

/** Loads what a gateway wrote of one program's requests: both records of each, at once. */
const loadLog = async (count: number): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'aegis-bench-'));
  const stages = Object.fromEntries(Array.from({ length: 14 }, (_, i) => [`stage_${i}`, i * 12.5]));
  try {
    const log = await openAuditLog({ home: folder });
    for (let i = 0; i < count; i += 50) {
      const writes = Array.from({ length: 50 }, (_, k) => {
        const { id, request_id } = outcomeOf(i + k);
        const outcome = { ...outcomeOf(0), id, request_id, outcome: 'ok', stages_us: stages } as const;
        return [log.append(intentFor(outcome)), log.append(outcome)];
      });
      await Promise.all(writes.flat());
    }
    await log.close();
    for (const decisionsDays of [0, 3_650]) {
      const home = mkdtempSync(join(tmpdir(), 'aegis-bench-'));
      const database = await openDatabase(home);
      let loadMs = 0;
      const load = (): Promise<number> => catchUpLedger(database.db, folder, readAudit, { decisionsDays });
      const cpuUs = await cpuUsOf(async () => {
        loadMs = await timed(load);
      });
      await database.close();
      say({
        what: decisionsDays === 0 ? 'load from the log' : 'load from the log, decisions too',
        requests: count,
        requestsPerSecond: Math.round((count / loadMs) * 1_000),
        cpuUsPerRequest: Number((cpuUs / count).toFixed(1)),
        bytesPerRequest: Math.round(statSync(join(home, 'aegis.db')).size / count),
      });
      rmSync(home, { recursive: true });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
};

const cpuUsOf = async (work: () => unknown): Promise<number> => {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
};

const timed = async (work: () => unknown): Promise<number> => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};
const say = (figure: Record<string, unknown>): void => console.log(JSON.stringify(figure));

const home = mkdtempSync(join(tmpdir(), 'aegis-bench-'));
try {
  await loadLog(Math.min(requests, 40_000));
  const store = await openDatabase(home);
  let loadMs = 0;
  const cpuUs = await cpuUsOf(async () => {
    loadMs = await timed(() => catchUpLedger(store.db, home, read));
  });
  say({
    what: 'load',
    requests,
    rowsPerSecond: Math.round((requests / loadMs) * 1_000),
    cpuUsPerRow: Number((cpuUs / requests).toFixed(1)),
    bytesPerRow: Math.round(statSync(join(home, 'aegis.db')).size / requests),
  });

  const range = { firstDay: '2026-01-15', lastDay: '2026-12-20' };
  for (const by of ['org,team,model', 'user', 'tag:course', 'org,day', 'user,tag:course,model']) {
    const ms = Math.round(await timed(() => queryUsage(store.db, parseDimensions(by), range)));
    say({ what: 'report', by, ms });
  }
  const month = [Date.UTC(2026, 10, 1) - 3_600_000, Date.UTC(2026, 11, 1) - 3_600_000] as const;
  for (const [scope, subject] of [
    ['org', 'org-1'],
    ['team', 'org-1/team-1'],
    ['user', 'org-1/user-1'],
    ['key', 'key_1'],
    ['tag', 'org-1/course=C1'],
  ] as const) {
    spentSince(store, scope, subject, ...month);
    say({
      what: 'spend of a month',
      scope,
      ms: Number((await timed(() => spentSince(store, scope, subject, ...month))).toFixed(2)),
    });
  }

  const pepper = new Uint8Array(32);
  const grant = { org: 'o', team: 't', user: 'u', roles: ['student'], groups: [], workflows: [] };
  const secrets: string[] = [];
  for (let i = 0; i < 1_000; i++) secrets.push((await createKey(store.db, pepper, grant)).secret);
  const keys = await openKeyStore(store.db, pepper);
  const found = (): void => {
    for (const secret of secrets) if (!keys.find(secret, 0)) throw new Error('not found');
  };
  say({ what: 'find a key the first time', us: Number((await timed(found)).toFixed(2)) });
  const again = await timed(() => {
    for (let i = 0; i < 100; i++) found();
  });
  say({ what: 'find a key', us: Number((again / 100).toFixed(2)) });
  await keys.close();
  await store.close();
} finally {
  rmSync(home, { recursive: true });
}

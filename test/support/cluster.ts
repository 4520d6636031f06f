import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAudit } from '../../gateway/audit/read.ts';
import { type Database, openDatabase } from '../../gateway/store/database.ts';
import { createKey, type KeyGrant } from '../../gateway/store/keys.ts';
import { openPepper } from '../../gateway/store/pepper.ts';
import { queryUsage, type UsageGroup } from '../../gateway/store/usage.ts';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import type { TestBundles } from './bundles.ts';
import type { FakeUpstream } from './fake-upstream.ts';
import { CHAT_MODEL, openaiAt, until } from './gateway.ts';
import { type Served, startServe, writeConfig } from './serve.ts';

/** What the gateways of a cluster share. */
export interface ClusterOptions {
  readonly gateways: number;
  readonly redisUrl: string;
  readonly storeUrl: string;
  readonly upstream: FakeUpstream;
  /** Default: the repository's bundle. */
  readonly bundles?: TestBundles;
}

/** One of them: a process with a home of its own. */
export interface Member {
  readonly served: Served;
  readonly home: string;
}

/** Several gateways, each a process, on one Redis and one Postgres. */
export interface Cluster {
  readonly members: readonly Member[];
  /** Makes a key in the shared store, and waits until each gateway knows it. */
  key(grant: KeyGrant): Promise<string>;
  /** Outcomes of chat completions in all audit logs. */
  outcomes(): Promise<AuditOutcome[]>;
  /** Of chat completions in the shared ledger; undefined before the first. */
  ledger(): Promise<UsageGroup | undefined>;
  /** Waits until the ledger has as many of them as the audit logs, which must not grow meanwhile; gives both. */
  settled(timeoutMs?: number): Promise<{ readonly outcomes: AuditOutcome[]; readonly ledger: UsageGroup }>;
  /** Stops all; gives their exit codes. */
  stop(): Promise<(number | null)[]>;
  close(): Promise<void>;
}

/** What is counted; others ask what a gateway knows. */
const ENDPOINT = 'chat.completions';

/** Starts the gateways; the first makes the tables. */
export const openCluster = async ({
  gateways,
  redisUrl,
  storeUrl,
  upstream,
  bundles,
}: ClusterOptions): Promise<Cluster> => {
  const folder = await mkdtemp(join(tmpdir(), 'aegis-cluster-'));
  const pepper = randomBytes(32);
  const started: Served[] = [];
  let database: Database | undefined;
  const close = async (): Promise<void> => {
    await Promise.all(started.map((served) => served.stop('SIGKILL')));
    await database?.close();
    await rm(folder, { recursive: true, force: true });
  };
  const start = async (index: number): Promise<Member> => {
    const home = join(folder, `${index}`);
    await mkdir(home, { mode: 0o700 });
    await writeFile(join(home, 'pepper'), pepper, { mode: 0o600 });
    const config = {
      log_level: 'error',
      redis: { url: redisUrl },
      store: { url: storeUrl },
      ...bundles?.config,
    };
    const served = await startServe(['--config', await writeConfig(home, [openaiAt(upstream)], config)], {});
    started.push(served);
    return { served, home };
  };
  try {
    const first = await start(0);
    const others = await Promise.all(Array.from({ length: gateways - 1 }, (_, index) => start(index + 1)));
    const members = [first, ...others];
    database = await openDatabase(folder, storeUrl);
    const { db } = database;
    const outcomes = async (): Promise<AuditOutcome[]> => {
      const all: AuditOutcome[] = [];
      for (const { home } of members) {
        for await (const { record } of readAudit(home)) {
          if (record.kind === 'outcome' && record.endpoint === ENDPOINT) all.push(record);
        }
      }
      return all;
    };
    const ledger = async (): Promise<UsageGroup | undefined> => {
      const { groups } = await queryUsage(db, ['endpoint'], { firstDay: '2020-01-01', lastDay: '2100-01-01' });
      return groups.find(({ keys }) => keys[0] === ENDPOINT);
    };
    return {
      members,
      async key(grant) {
        const { secret } = await createKey(db, openPepper(first.home), grant);
        await until(async () => {
          const answers = await Promise.all(members.map(({ served }) => models(served.url, secret)));
          return answers.every((status) => status !== 401) ? true : undefined;
        });
        return secret;
      },
      outcomes,
      ledger,
      settled: (timeoutMs = 20_000) =>
        until(async () => {
          const [now, all] = [await ledger(), await outcomes()];
          return now?.requests === all.length ? { ledger: now, outcomes: all } : undefined;
        }, timeoutMs),
      stop: () => Promise.all(members.map(({ served }) => served.stop('SIGTERM'))),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};

const models = async (url: string, key: string): Promise<number> => {
  const answer = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  await answer.arrayBuffer();
  return answer.status;
};

/** An answer, read to its end. */
export interface Answered {
  readonly status: number;
  /** Of the error; '' where there is none. */
  readonly code: string;
  readonly degraded: string | null;
  readonly retryAfter: string | null;
  readonly ms: number;
}

/** Asks for a chat completion; status 0 when there was no answer. */
export const ask = async (url: string, key: string, body: Record<string, unknown> = {}): Promise<Answered> => {
  const started = performance.now();
  try {
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: CHAT_MODEL, messages: [{ role: 'user', content: 'Hello.' }], ...body }),
    });
    const text = await answer.text();
    const { error } = answer.ok ? { error: { code: '' } } : (JSON.parse(text) as { error: { code: string } });
    return {
      status: answer.status,
      code: error.code,
      degraded: answer.headers.get('x-aegis-degraded'),
      retryAfter: answer.headers.get('retry-after'),
      ms: performance.now() - started,
    };
  } catch (error) {
    return { status: 0, code: String(error), degraded: null, retryAfter: null, ms: performance.now() - started };
  }
};

/** What `/readyz` says. */
export const readiness = async (url: string): Promise<{ status: number; limits: string; store: string }> => {
  const answer = await fetch(`${url}/readyz`);
  return { ...((await answer.json()) as { limits: string; store: string }), status: answer.status };
};

/** Callers that each ask one gateway again and again, with a pause in between, until they are stopped. */
export interface Load {
  /** What came since the last call. */
  since(): Answered[];
  /** Ends it; gives what is left. */
  stop(): Promise<Answered[]>;
}

export const startLoad = (urls: readonly string[], keys: readonly string[], pauseMs: number): Load => {
  let answers: Answered[] = [];
  let isAsking = true;
  const callers = urls.flatMap((url) =>
    keys.map(async (key) => {
      while (isAsking) {
        const answer = await ask(url, key, { max_tokens: 60 });
        answers.push(answer);
        await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random())));
      }
    }),
  );
  const since = (): Answered[] => {
    const last = answers;
    answers = [];
    return last;
  };
  return {
    since,
    async stop() {
      isAsking = false;
      await Promise.all(callers);
      return since();
    },
  };
};

/** Milliseconds within which such a share of the answers came. */
export const quantile = (answers: readonly Answered[], share: number): number => {
  const times = answers.map(({ ms }) => ms).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
};

/** How often each status came, and each code of a refusal. */
export const tally = (answers: readonly Answered[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { status, code } of answers) {
    const name = code === '' ? `${status}` : `${status} ${code}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};

/** Rates of all tiers so high that only budgets refuse. */
export const boundless = (text: string): string =>
  text
    .replace(/requests_per_minute: \d+/g, 'requests_per_minute: 10000000')
    .replace(/tokens_per_minute: \d+/g, 'tokens_per_minute: 10000000000')
    .replace(/concurrent: \d+/g, 'concurrent: 100000');

/** Writes a figure where somebody measures: with AEGIS_LONG set. */
export const figure = (text: string): void => {
  if (process.env.AEGIS_LONG) process.stderr.write(`${text}\n`);
};

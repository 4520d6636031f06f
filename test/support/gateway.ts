import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readAudit } from '../../gateway/audit/read.ts';
import { parseConfig, type Settings } from '../../gateway/config.ts';
import { openDatabase } from '../../gateway/store/database.ts';
import type { KeyGrant } from '../../gateway/store/keys.ts';
import { catchUpLedger } from '../../gateway/store/ledger.ts';
import type { UsageTable } from '../../gateway/store/schema.ts';
import type { AuditIntent, AuditOutcome, AuditRecord } from '../../gateway/types.gen.ts';
import { openGateway, type Running } from '../../gateway/wire.ts';
import { type FakeUpstream, openFakeUpstream } from './fake-upstream.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Callers of policies/organizations and policies/roles, by what they are. */
export const PEOPLE = {
  student: { org: 'demo-university', team: 'cs101', user: 'sam', roles: ['student'], groups: [], workflows: [] },
  otherStudent: { org: 'demo-university', team: 'cs101', user: 'kim', roles: ['student'], groups: [], workflows: [] },
  teacher: { org: 'demo-university', team: 'cs101', user: 'tara', roles: ['teacher'], groups: [], workflows: [] },
  researcher: {
    org: 'demo-university',
    team: 'nlp-lab',
    user: 'rosa',
    roles: ['researcher'],
    groups: [],
    workflows: [],
  },
  service: { org: 'demo-university', team: 'lms', user: '', roles: ['service'], groups: [], workflows: [] },
} as const satisfies Record<string, KeyGrant>;

export type Person = keyof typeof PEOPLE;

/** What a config may say of an upstream, by name. */
export type UpstreamSketch = Settings['upstreams'][number];

export interface GatewayOptions {
  /** Default: `openai` and `anthropic`, each a fake. */
  readonly upstreams?: readonly UpstreamSketch[];
  /** More of the config, such as `bundles` or `limits`. */
  readonly config?: Record<string, unknown>;
  /** Until a body must be whole. */
  readonly bodyTimeoutMs?: number;
  /** Until a stop ends what is under way. */
  readonly graceMs?: number;
  /** Continue in this home; it is not removed at the end. */
  readonly home?: string;
}

/** A gateway of a test's own, in a home of its own. */
export interface TestGateway {
  readonly url: string;
  readonly home: string;
  readonly running: Running;
  /** The fakes behind `openai` and `anthropic`; not asked when other upstreams were given. */
  readonly openai: FakeUpstream;
  readonly anthropic: FakeUpstream;
  /** A key for somebody; the same one each time. */
  key(who?: Person): Promise<string>;
  keyFor(grant: KeyGrant): Promise<string>;
  post(path: string, body: unknown, options?: PostOptions): Promise<Response>;
  chat(body: Record<string, unknown>, options?: PostOptions): Promise<Response>;
  messages(body: Record<string, unknown>, options?: PostOptions): Promise<Response>;
  records(): Promise<AuditRecord[]>;
  outcomes(): Promise<AuditOutcome[]>;
  /** The outcome of the request that got this answer; waits until it is in the log. */
  outcomeOf(answer: Response): Promise<AuditOutcome>;
  intents(): Promise<AuditIntent[]>;
  close(): Promise<void>;
}

export interface PostOptions {
  readonly as?: Person;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

/** The default models behind the fakes: what a student may name. */
export const CHAT_MODEL = 'gpt-5.4-nano';
export const MESSAGES_MODEL = 'claude-haiku-5-5';

/** The key the gateway has at its providers: it must never be seen by a caller. */
export const PROVIDER_KEY = 'sk-provider-secret-0123456789abcdef';

/** Opens a gateway with fake providers, the repository's bundle and a home in the temporary folder. */
export const openTestGateway = async (options: GatewayOptions = {}): Promise<TestGateway> => {
  const openai = await openFakeUpstream();
  const anthropic = await openFakeUpstream();
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'aegis-e2e-')));
  const upstreams = options.upstreams ?? [openaiAt(openai), anthropicAt(anthropic)];
  const config = {
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    home,
    log_level: 'silent',
    upstreams,
    ...options.config,
  };
  const settings = parseConfig(JSON.stringify(config), join(ROOT, 'test-config'), {});
  const { bodyTimeoutMs } = options;
  const limits = bodyTimeoutMs === undefined ? settings.limits : { ...settings.limits, bodyTimeoutMs };
  const running = await openGateway({ ...settings, limits }, options.graceMs);
  const keys = new Map<Person, Promise<string>>();

  const gateway: TestGateway = {
    url: running.url,
    home,
    running,
    openai,
    anthropic,
    key(who = 'student') {
      const made = keys.get(who) ?? running.createKey(PEOPLE[who]);
      keys.set(who, made);
      return made;
    },
    keyFor: (grant) => running.createKey(grant),
    async post(path, body, { as = 'student', headers = {}, signal } = {}) {
      return fetch(`${running.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${await gateway.key(as)}`, 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' || Buffer.isBuffer(body) ? (body as string) : JSON.stringify(body),
        ...(signal ? { signal } : {}),
      });
    },
    chat: (body, post) =>
      gateway.post(
        '/v1/chat/completions',
        { model: CHAT_MODEL, messages: [{ role: 'user', content: 'Hello.' }], ...body },
        post,
      ),
    messages: (body, post) =>
      gateway.post(
        '/v1/messages',
        { model: MESSAGES_MODEL, max_tokens: 100, messages: [{ role: 'user', content: 'Hello.' }], ...body },
        post,
      ),
    records: () => recordsOf(home),
    async outcomes() {
      return (await recordsOf(home)).filter((record): record is AuditOutcome => record.kind === 'outcome');
    },
    async outcomeOf(answer) {
      const id = answer.headers.get('x-request-id');
      return until(async () => (await gateway.outcomes()).find((outcome) => outcome.request_id === id));
    },
    async intents() {
      return (await recordsOf(home)).filter((record): record is AuditIntent => record.kind === 'intent');
    },
    async close() {
      await running.close();
      await Promise.all([openai.close(), anthropic.close()]);
      if (options.home === undefined) await rm(home, { recursive: true, force: true });
    },
  };
  return gateway;
};

/** An OpenAI upstream played by a fake; content sent to it counts as leaving the operator's hands. */
export const openaiAt = (fake: FakeUpstream, more: Partial<UpstreamSketch> = {}): UpstreamSketch => ({
  name: 'openai',
  kind: 'openai',
  base_url: `${fake.url}/v1`,
  api_key: PROVIDER_KEY,
  third_party: true,
  ...more,
});

/** The same for Anthropic. */
export const anthropicAt = (fake: FakeUpstream, more: Partial<UpstreamSketch> = {}): UpstreamSketch => ({
  name: 'anthropic',
  kind: 'anthropic',
  base_url: fake.url,
  api_key: PROVIDER_KEY,
  third_party: true,
  ...more,
});

/** Every record of a home's audit log, the chain checked on the way. */
export const recordsOf = async (home: string): Promise<AuditRecord[]> => {
  const records: AuditRecord[] = [];
  for await (const { record } of readAudit(home)) records.push(record);
  return records;
};

/** Every row of a home's ledger, brought up to its audit log first. */
export const ledgerOf = async (home: string): Promise<UsageTable[]> => {
  const database = await openDatabase(home);
  try {
    await catchUpLedger(database.db, home, readAudit);
    return await database.db.selectFrom('usage').selectAll().execute();
  } finally {
    await database.close();
  }
};

/** Asks again until there is an answer. Throws after ten seconds. */
export const until = async <T>(look: () => Promise<T | undefined> | T | undefined, timeoutMs = 10_000): Promise<T> => {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

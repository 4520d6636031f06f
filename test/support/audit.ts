import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditContent, AuditLog, RecoveredAuditLog } from '../../gateway/audit/audit-log.ts';
import { type AuditLogOptions, openAuditLog } from '../../gateway/audit/log.ts';
import { type AuditEntry, readAudit } from '../../gateway/audit/read.ts';
import type { AuditIntent, AuditOutcome } from '../../gateway/types.gen.ts';

/** Runs with a home of its own that is gone afterwards, and every log opened in it closed. */
export const withHome = async (
  use: (home: string, open: (options?: Partial<AuditLogOptions>) => Promise<RecoveredAuditLog>) => Promise<void>,
): Promise<void> => {
  const home = await mkdtemp(join(tmpdir(), 'aegis-audit-'));
  const opened: RecoveredAuditLog[] = [];
  try {
    await use(home, async (options) => {
      const log = await openAuditLog({ home, ...options });
      opened.push(log);
      return log;
    });
  } finally {
    for (const log of opened) await log.close();
    await rm(home, { recursive: true, force: true });
  }
};

const BUNDLE = { digest: 'd'.repeat(64), revision: 'a1b2c3d4e5f6' };

export const intentOf = (id: string, user = 'sam'): AuditIntent => ({
  kind: 'intent',
  id,
  time: '2026-11-24T10:00:00.000Z',
  input: { caller: { id: 'key_1', org: 'uni', team: 'cs', user } },
  decision: { allow: true, rules: ['routing.open'] },
  bundle: BUNDLE,
  reserved_micro_usd: 100,
  masked: {},
  content: null,
});

export const outcomeOf = (id: string, over: Partial<AuditOutcome> = {}): AuditOutcome => ({
  kind: 'outcome',
  id,
  request_id: `req_${id}`,
  time: '2026-11-24T10:00:01.000Z',
  outcome: 'ok',
  status: 200,
  error: null,
  caller: { id: 'key_1', org: 'uni', team: 'cs', user: 'sam' },
  purpose: null,
  endpoint: 'chat.completions',
  tier: 'standard',
  input: null,
  decision: null,
  bundle: BUNDLE,
  model: 'm',
  upstream: 'u',
  attempts: [],
  usage: null,
  cost: { micro_usd: 5, price_version: null },
  stages_us: { receive: 10 },
  duration_ms: 1,
  content: null,
  ...over,
});

export const contentOf = (text: string, retentionDays = 30): AuditContent => ({
  chunks: [Buffer.from(text)],
  retentionDays,
});

/** A content of which all but `rest` was written in pieces. */
export const draftedOf = async (
  log: AuditLog,
  pieces: readonly string[],
  rest: string | null,
  retentionDays = 30,
): Promise<AuditContent> => {
  const draft = log.openContent(retentionDays);
  for (const piece of pieces) await draft.write([Buffer.from(piece)]);
  return { chunks: rest === null ? [] : [Buffer.from(rest)], retentionDays, draft };
};

/** The pieces of a long answer of this id: a reader knows what they must be. */
export const answerPieces = (id: string): string[] =>
  Array.from({ length: 4 }, (_, piece) => `piece ${piece} of ${id}; `.repeat(500));

export const entriesOf = (home: string): Promise<AuditEntry[]> => Array.fromAsync(readAudit(home));

/** Ids of the records of a kind, in the log's order. */
export const idsOf = async (home: string, kind: 'intent' | 'outcome'): Promise<(string | null)[]> =>
  (await entriesOf(home)).flatMap(({ record }) => (record.kind === kind ? [record.id] : []));

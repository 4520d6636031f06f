import type { AuditReader } from '../../gateway/store/ledger.ts';
import type { AuditOutcome, AuditRecord, Usage } from '../../gateway/types.gen.ts';

/** What a test says of an outcome; everything else is filled in. */
export interface OutcomeSketch
  extends Partial<Omit<AuditOutcome, 'caller' | 'purpose' | 'usage' | 'cost' | 'request_id'>> {
  readonly caller?: Partial<NonNullable<AuditOutcome['caller']>> | null;
  readonly purpose?: Partial<NonNullable<AuditOutcome['purpose']>>;
  readonly usage?: Partial<Usage>;
  readonly microUsd?: number;
}

/** An outcome record, answered by gpt-5-mini unless it says otherwise. */
export const outcome = (
  requestId: string,
  { caller, purpose, usage, microUsd = 0, ...rest }: OutcomeSketch = {},
): AuditOutcome => ({
  kind: 'outcome',
  id: `dec_${requestId}`,
  request_id: requestId,
  time: '2026-11-24T12:00:00.000Z',
  outcome: 'ok',
  status: 200,
  error: null,
  caller: caller === null ? null : { id: 'key_1', org: 'acme', team: 'math', user: 'ann', ...caller },
  purpose: { workflow: 'tutor', use_case: 'homework', session: '', tags: {}, ...purpose },
  endpoint: 'chat.completions',
  tier: 'standard',
  input: null,
  decision: null,
  bundle: { digest: 'd', revision: 'r1' },
  model: 'gpt-5-mini',
  upstream: 'openai',
  attempts: [{ model: 'gpt-5-mini', upstream: 'openai', status: 200, error: null, ms: 120 }],
  usage: {
    input: 0,
    cache_read: 0,
    cache_write: 0,
    cache_write_1h: 0,
    output: 0,
    reasoning: 0,
    source: 'provider',
    ...usage,
  },
  cost: { micro_usd: microUsd, price_version: 'r1' },
  stages_us: {},
  duration_ms: 400,
  content: null,
  ...rest,
});

/** A reader of records that are in an array, at the place that its position names. */
export const readerOf = (records: readonly AuditRecord[]): AuditReader =>
  async function* (_home, options) {
    const from = (options as { from?: { index: number } }).from?.index ?? 0;
    for (let index = from; index < records.length; index++) {
      yield { next: { index: index + 1 }, record: structuredClone(records[index]!) };
    }
  };

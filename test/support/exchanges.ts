import { Exchange, type Stage } from '../../gateway/exchange.ts';
import { type Ending, FREE } from '../../gateway/outcome.ts';
import { newIds } from '../../gateway/stages/ids.ts';
import { ROUTES } from '../../gateway/stages/routes.ts';
import { Trace } from '../../gateway/trace.ts';
import type { Attempt, Usage } from '../../gateway/types.gen.ts';

/** How an exchange of a test came along; everything has a default. */
export interface ExchangeSketch {
  readonly trace?: Trace;
  readonly org?: string;
  readonly model?: string;
  readonly endpoint?: string;
  readonly attempts?: readonly Partial<Attempt>[];
  readonly stagesUs?: Partial<Record<Stage, number>>;
  readonly counts?: Record<string, number>;
  readonly allow?: boolean;
  readonly firstEventMs?: number;
  readonly stream?: boolean;
}

/** An exchange that came as far as the sketch says, without a gateway around it. */
export const exchangeOf = ({
  trace = new Trace(),
  org = 'acme',
  model = 'small',
  endpoint = 'chat.completions',
  attempts = [],
  stagesUs = {},
  counts = {},
  allow = true,
  firstEventMs,
  stream = false,
}: ExchangeSketch = {}): Exchange => {
  const x = new Exchange(newIds(), '127.0.0.1', trace);
  const route = ROUTES.find((row) => row.endpoint === endpoint)!;
  x.method = route.method;
  Object.assign(x.products, {
    head: { endpoint, route },
    caller: { id: 'key_1', org, team: '', user: '', groups: [] },
    call: { stream },
    described: { input: { request: { model } } },
    decision: { allow, deny: [] },
    masked: { counts },
  });
  Object.assign(x.stagesUs, stagesUs);
  for (const attempt of attempts) {
    x.attempts.push({ model: 'small', upstream: 'openai', status: 200, error: null, ms: 100, ...attempt });
  }
  if (firstEventMs !== undefined) x.firstEventMs = firstEventMs;
  return x;
};

/** An ending, good and free but for `more`. */
export const endingOf = (more: Partial<Ending> = {}): Ending => ({
  outcome: 'ok',
  status: 200,
  error: null,
  usage: null,
  cost: FREE,
  ...more,
});

/** Usage as a provider reports it. */
export const usageOf = (more: Partial<Usage> = {}): Usage => ({
  input: 0,
  cache_read: 0,
  cache_write: 0,
  cache_write_1h: 0,
  output: 0,
  reasoning: 0,
  source: 'provider',
  ...more,
});

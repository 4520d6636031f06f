import { expect, test } from '@jest/globals';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import { chatCompletion, chatStream, message, messageStream } from '../support/answers.ts';
import {
  answerJson,
  answerStream,
  breakStream,
  hang,
  openFakeUpstream,
  type Play,
  reset,
} from '../support/fake-upstream.ts';
import { anthropicAt, ledgerOf, openaiAt, openTestGateway, PEOPLE, until } from '../support/gateway.ts';

const REQUESTS = 600;

/** A generator of the same numbers each time (mulberry32): what fails can be run again. */
const randomFrom = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
};

test(`${REQUESTS} requests with every fault, abort and refusal mixed leave the books in order`, async () => {
  const random = randomFrom(20_261_124);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const chaos: Play = async (request, res) => {
    const isStream = request.body.includes('"stream":true');
    const isChat = request.path.includes('chat');
    // What was masked comes back, so that restoring is on the way too.
    const said = /EMAIL_\w{13}/.exec(request.body.toString())?.[0] ?? 'nothing';
    const events = isChat ? chatStream(['say ', said.slice(0, 7), said.slice(7)]) : messageStream(['say ', said]);
    const good = isStream ? answerStream(events) : answerJson(200, isChat ? chatCompletion(said) : message(said));
    const play = pick<Play>([
      good,
      good,
      good,
      answerJson(pick([400, 401, 404, 429, 500, 503, 529]), { error: { message: 'no' } }),
      reset,
      hang,
      isStream
        ? breakStream(events.slice(0, Math.floor(random() * events.length)), pick(['end', 'reset']))
        : answerJson(200, '{"choices":['),
      answerJson(200, 'nonsense'),
    ]);
    await new Promise((resolve) => setTimeout(resolve, random() * 10));
    await play(request, res);
  };
  const [openai, mistral, anthropic] = await Promise.all([
    openFakeUpstream(chaos),
    openFakeUpstream(chaos),
    openFakeUpstream(chaos),
  ]);
  const timeouts = { first_byte_timeout_ms: 150, idle_timeout_ms: 200 };
  const gateway = await openTestGateway({
    upstreams: [
      openaiAt(openai, timeouts),
      openaiAt(mistral, { name: 'mistral', kind: 'mistral', ...timeouts }),
      anthropicAt(anthropic, timeouts),
    ],
  });
  try {
    const key = await gateway.keyFor({ ...PEOPLE.service, user: '' });
    const ids = new Set<string>();
    let unanswered = 0;
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < REQUESTS) {
        const at = next++;
        const isChat = at % 2 === 0;
        const model = pick([
          'auto',
          'auto',
          'auto',
          isChat ? 'gpt-5.4-nano' : 'claude-haiku-5-5',
          'gpt-6-astra',
          'no-such-model',
        ]);
        const stream = random() < 0.5;
        const leavesAfterMs = random() < 0.2 ? Math.floor(random() * 40) : null;
        const body =
          random() < 0.05
            ? '{"broken":'
            : JSON.stringify({
                model,
                max_tokens: 50,
                stream,
                messages: [{ role: 'user', content: `Write to jane.doe@example.org now, please, number ${at}.` }],
              });
        try {
          const signal = leavesAfterMs === null ? null : AbortSignal.timeout(leavesAfterMs);
          const answer = await fetch(`${gateway.url}${isChat ? '/v1/chat/completions' : '/v1/messages'}`, {
            method: 'POST',
            headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
            body,
            ...(signal ? { signal } : {}),
          });
          ids.add(answer.headers.get('x-request-id') as string);
          expect(answer.status).not.toBe(500);
          expect(answer.status).not.toBe(401);
          const text = await answer.text();
          if (answer.status === 200 && stream) {
            const isWhole = /data: \[DONE\]\n\n$|event: message_stop\ndata: .*\n\n$/.test(text);
            const hasError = /"error":\{/.test(text);
            expect({ isWhole, hasError, text }).toMatchObject({ isWhole: !hasError });
            if (isWhole) expect(text).not.toMatch(/EMAIL_\w{13}/);
          } else JSON.parse(text);
        } catch (error) {
          // Those who left got nothing, and only they.
          if (leavesAfterMs === null || !/Abort|Timeout/.test((error as { name: string }).name)) throw error;
          unanswered++;
        }
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    expect(unanswered).toBeGreaterThan(10);

    const { limiter } = gateway.running.gateway;
    const org = [{ scope: 'org', subject: 'demo-university' }] as const;
    await until(() =>
      limiter.spend(org, Date.now()).every(({ reserved_micro_usd }) => reserved_micro_usd === 0) ? true : undefined,
    );
    const intents = await gateway.intents();
    const outcomes = await until(async () => {
      const all = await gateway.outcomes();
      return intents.every(({ id }) => all.some((outcome) => outcome.id === id)) ? all : undefined;
    });
    const byRequest = Map.groupBy(outcomes, ({ request_id }) => request_id);
    for (const [id, records] of byRequest) expect({ id, records: records.length }).toEqual({ id, records: 1 });
    for (const id of ids) expect(byRequest.has(id)).toBe(true);
    const kinds = Map.groupBy(outcomes, ({ outcome }) => outcome);
    for (const kind of ['ok', 'denied', 'rejected', 'failed', 'incomplete', 'aborted'] as const) {
      expect([kind, (kinds.get(kind)?.length ?? 0) > 0]).toEqual([kind, true]);
    }
    expect(kinds.get('unknown')).toBeUndefined();

    // What each was charged is inside what was reserved for it, and the books agree everywhere.
    const reserved = new Map(intents.map((intent) => [intent.id, intent.reserved_micro_usd]));
    for (const { id, cost, outcome } of outcomes) {
      expect(Number.isSafeInteger(cost.micro_usd) && cost.micro_usd >= 0).toBe(true);
      if (id !== null && reserved.has(id)) {
        expect({ outcome, over: Math.max(0, cost.micro_usd - (reserved.get(id) as number)) }).toEqual({
          outcome,
          over: 0,
        });
      } else expect(cost.micro_usd).toBe(0);
    }
    const sum = outcomes.reduce((total: number, { cost }: AuditOutcome) => total + cost.micro_usd, 0);
    const [budget] = limiter.spend(org, Date.now());
    expect(budget?.micro_usd).toBe(sum);
    const rows = await ledgerOf(gateway.home);
    expect(rows.reduce((total, row) => total + Number(row.cost_micro_usd), 0)).toBe(sum);
    expect(rows).toHaveLength(outcomes.length);
    for (const { body } of [...openai.requests, ...mistral.requests, ...anthropic.requests]) {
      expect(body.toString()).not.toContain('jane.doe');
    }
    // A client error is about a caller: none of the gateway's own making may hide among the failures.
    for (const { error } of outcomes) expect(error).not.toBe('internal_error');
  } finally {
    await gateway.close();
    await Promise.all([openai.close(), mistral.close(), anthropic.close()]);
  }
}, 120_000);

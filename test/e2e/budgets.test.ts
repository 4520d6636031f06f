import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Scope } from '../../gateway/limit/limiter.ts';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, PEOPLE, type TestGateway, until } from '../support/gateway.ts';
import { openWebhookReceiver, WEBHOOK_SECRET } from '../support/webhook-receiver.ts';

/** Of the budget under test. A request costs 540 µ$ and may cost some 1,000. */
const CAP_MICRO_USD = 2_500;
/** Of a student, a day. */
const DAY_MICRO_USD = 100_000;

const localDay = (timeZone: string, at = Date.now()): string =>
  new Intl.DateTimeFormat('en-CA', { timeZone }).format(at);
/** A zone in which it is another day than in UTC, at every hour. */
const otherDayZone = (): string =>
  ['Pacific/Kiritimati', 'Pacific/Pago_Pago'].find((zone) => localDay(zone) !== localDay('UTC')) as string;
const ZONE = otherDayZone();

/** The session names the budget that is tested: `<scope>.<period>`. */
const RULE = `
tested := [] if input.purpose.session == ""

tested := [{
	"scope": parts[0],
	"subject": subjects[parts[0]],
	"period": parts[1],
	"timezone": "${ZONE}",
	"micro_usd": ${CAP_MICRO_USD},
	"on_exceed": "deny",
}] if {
	parts := split(input.purpose.session, ".")
	count(parts) == 2
}

inside(name) := concat("/", [input.caller.org, name])

subjects := {
	"key": input.caller.id,
	"org": input.caller.org,
	"team": inside(input.caller.team),
	"user": inside(input.caller.user),
	"group": inside(input.caller.groups[0]),
	"workflow": inside(input.purpose.workflow),
	"use_case": inside(input.purpose.use_case),
	"tag": inside(concat("=", ["course", input.purpose.tags.course])),
}
`;

let bundles: TestBundles;
beforeAll(async () => {
  bundles = await openTestBundles();
  await bundles.rollOut({
    'rules/budgets/budgets.rego': (text) =>
      `${text.replace('array.flatten([org, team, user])', 'array.flatten([org, team, user, tested])')}${RULE}`,
    'roles/data.yaml': (text) =>
      text.replace('daily_budget: { usd: 2 }', `daily_budget: { usd: ${DAY_MICRO_USD / 1e6} }`),
  });
}, 60_000);
afterAll(() => bundles.remove());

const open = async (home: string, config = {}): Promise<TestGateway> => {
  const gateway = await openTestGateway({ home, config: { ...bundles.config, ...config } });
  gateway.openai.play = answerJson(
    200,
    chatCompletion('Hi.', { prompt_tokens: 20, completion_tokens: 50, total_tokens: 70 }),
  );
  return gateway;
};

const withHome = async (use: (home: string) => Promise<void>): Promise<void> => {
  const home = await mkdtemp(join(tmpdir(), 'aegis-budgets-'));
  try {
    await use(home);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
};

/** Who spends of the budget of a scope, and who has another one of that scope. */
const CASES: readonly {
  scope: Scope;
  subject: string;
  other: { user?: string; team?: string; headers?: object } | null;
}[] = [
  { scope: 'key', subject: '', other: { user: 'sam' } },
  { scope: 'user', subject: 'demo-university/sam', other: { user: 'kim' } },
  { scope: 'group', subject: 'demo-university/exam', other: { user: 'kim' } },
  { scope: 'team', subject: 'demo-university/cs101', other: { team: 'hist110' } },
  { scope: 'org', subject: 'demo-university', other: null },
  { scope: 'use_case', subject: 'demo-university/hints', other: { headers: { 'x-aegis-use-case': 'summary' } } },
  { scope: 'workflow', subject: 'demo-university/tutoring', other: { headers: { 'x-aegis-workflow': 'quiz' } } },
  {
    scope: 'tag',
    subject: 'demo-university/course=CS101',
    other: { headers: { 'x-aegis-tags': 'institution=MIT,course=CS201' } },
  },
];

describe.each(CASES)('a budget of a $scope', ({ scope, subject, other }) => {
  test.each(['day', 'month'] as const)(
    'of a %s refuses at its cap, for its subject and period alone, after a restart too',
    (period) =>
      withHome(async (home) => {
        let gateway = await open(home);
        const { limiter } = gateway.running.gateway;
        const spender = { ...PEOPLE.student, groups: ['exam'] };
        const key = await gateway.keyFor(spender);
        const ask = (secret = key, headers: object = {}): Promise<Response> =>
          gateway.chat(
            { model: 'gpt-6-sol', max_tokens: 50, messages: [{ role: 'user', content: 'Hi' }] },
            {
              headers: {
                authorization: `Bearer ${secret}`,
                'x-aegis-session': `${scope}.${period}`,
                'x-aegis-workflow': 'tutoring',
                'x-aegis-use-case': 'hints',
                'x-aegis-tags': 'institution=MIT,course=CS101',
                ...headers,
              },
            },
          );
        try {
          let served = 0;
          let answer = await ask();
          for (; answer.status === 200; answer = await ask()) served++;
          expect([2, 3, 4]).toContain(served);
          const { id } = (await gateway.outcomes())[0]!.caller!;
          const whose = scope === 'key' ? id : subject;
          expect(answer.status).toBe(429);
          expect(await answer.json()).toMatchObject({
            error: {
              type: 'insufficient_quota',
              code: 'budget_exceeded',
              message: expect.stringContaining(`The ${period}'s budget of ${scope} ${whose} ($`),
            },
          });
          expect(gateway.openai.requests).toHaveLength(served);
          expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'limited', error: 'budget_exceeded' });

          // The period is that of the budget's zone, where it is another day.
          const keyOf = period === 'day' ? localDay(ZONE) : localDay(ZONE).slice(0, 7);
          const mine = limiter
            .spend([{ scope, subject: whose }], Date.now())
            .find((entry) => entry.cap_micro_usd === CAP_MICRO_USD);
          expect(mine).toMatchObject({ period: keyOf, micro_usd: served * 540, reserved_micro_usd: 0 });

          if (other) {
            const { headers = {}, ...who } = other;
            const second = await gateway.keyFor({ ...spender, ...who, groups: ['lab'] });
            expect((await ask(second, headers)).status).toBe(200);
          }
          await gateway.close();
          gateway = await open(home);
          const again = await ask();
          expect(again.status).toBe(429);
          expect(await again.json()).toMatchObject({ error: { code: 'budget_exceeded' } });
          expect(gateway.openai.requests).toHaveLength(0);
        } finally {
          await gateway.close();
        }
      }),
  );
});

test('a budget that is nearly used leads "auto" to the class below, from four fifths on', () =>
  withHome(async (home) => {
    const gateway = await open(home);
    try {
      const spent = (): number => {
        const [day] = gateway.running.gateway.limiter.spend(
          [{ scope: 'user', subject: 'demo-university/sam' }],
          Date.now(),
        );
        return (day?.micro_usd ?? 0) / DAY_MICRO_USD;
      };
      // Each costs 15 % of the day's budget.
      const usage = { prompt_tokens: 500, completion_tokens: 1_400, total_tokens: 1_900 };
      gateway.openai.play = answerJson(200, chatCompletion('Because.', usage));
      const messages = [{ role: 'user', content: 'Why is the sky blue?' }];
      const seen: [share: number, model: string | null][] = [];
      for (let count = 0; count < 7; count++) {
        const share = spent();
        const answer = await gateway.chat({ model: 'auto', max_tokens: 100, messages });
        expect(answer.status).toBe(200);
        seen.push([share, answer.headers.get('x-aegis-model')]);
      }
      expect(seen.map(([, model]) => model)).toEqual([...Array(6).fill('gpt-6-sol'), 'gpt-5.4-nano']);
      expect(seen[5]![0]).toBeCloseTo(0.75);
      expect(seen[6]![0]).toBeCloseTo(0.9);
      const { decision, input } = (await gateway.intents()).at(-1) as unknown as {
        decision: { rules: string[]; route: { reason: string } };
        input: { spend: { scope: string; micro_usd: number }[] };
      };
      expect(decision.rules).toContain('routing.saving');
      expect(decision.route.reason).toContain('a budget is nearly used');
      expect(input.spend).toContainEqual(expect.objectContaining({ scope: 'user', micro_usd: 0.9 * DAY_MICRO_USD }));
      // What the caller names is honoured: the policy saves where the choice is its own.
      const named = await gateway.chat({ model: 'gpt-6-sol', max_tokens: 10, messages });
      expect(named.headers.get('x-aegis-model')).toBe('gpt-6-sol');
    } finally {
      await gateway.close();
    }
  }));

test('alerts tell of each threshold that real requests pass, and of an account without money', () =>
  withHome(async (home) => {
    const receiver = await openWebhookReceiver();
    const webhook = { url: receiver.url, secret: WEBHOOK_SECRET };
    const gateway = await open(home, { alerts: { webhook } });
    try {
      const usage = { prompt_tokens: 1_000, completion_tokens: 2_800, total_tokens: 3_800 };
      gateway.openai.play = answerJson(200, chatCompletion('Hi.', usage));
      const ask = (): Promise<Response> => gateway.chat({ model: 'gpt-6-sol', max_tokens: 1500 });
      for (let count = 0; count < 3; count++) expect((await ask()).status).toBe(200);
      expect((await ask()).status).toBe(429);
      const told = () => receiver.deliveries.flatMap(({ body }) => (body.type === 'budget_threshold' ? [body] : []));
      await until(() => (told().length === 3 ? true : undefined), 20_000);
      expect(
        told()
          .map(({ threshold }) => threshold)
          .sort(),
      ).toEqual([0.5, 0.8, 1]);
      for (const body of told()) {
        expect(body).toMatchObject({
          org: 'demo-university',
          scope: 'user',
          subject: 'demo-university/sam',
          spent_micro_usd: 90_000,
          cap_micro_usd: DAY_MICRO_USD,
        });
      }
      gateway.openai.play = answerJson(402, {
        error: { message: 'Pay.', type: 'insufficient_quota', code: 'insufficient_quota' },
      });
      await gateway.chat({}, { as: 'teacher' });
      const money = await until(
        () => receiver.deliveries.find(({ body }) => body.type === 'provider_spend_limit'),
        20_000,
      );
      expect(money.body).toMatchObject({ upstream: 'openai', key: 0, rest_s: 60 });
      expect(JSON.stringify(receiver.deliveries)).not.toContain('sk-provider');
      expect(receiver.forged).toEqual([]);
    } finally {
      await gateway.close();
      await receiver.close();
    }
  }));

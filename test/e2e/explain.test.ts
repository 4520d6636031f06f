import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { explain } from '../../gateway/cli/explain.ts';
import { explainText } from '../../gateway/cli/explain-text.ts';
import { type ExplanationError, openExplanations } from '../../gateway/explain/explanations.ts';
import { newIds } from '../../gateway/stages/ids.ts';
import type { KeyGrant } from '../../gateway/store/keys.ts';
import type { AuditEvent, AuditOutcome, Decision, Input, PolicyExplanation } from '../../gateway/types.gen.ts';
import { chatCompletion } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type TestGateway, until } from '../support/gateway.ts';
import { rejectionOf } from '../support/rejection.ts';

// One gateway that answers and refuses, and then what its people are told of it: on the command line, and over HTTP.

const grant = (org: string, team: string, ...roles: string[]): KeyGrant => ({
  org,
  team,
  user: roles[0] ?? '',
  roles,
  groups: [],
  workflows: [],
});

interface Told extends PolicyExplanation {
  id: string;
  source: string;
  outcome: string;
  notes: string[];
  rules: { id: string; title: string; code: string; file: string; line: number }[];
  input: Input;
  decision: Decision;
  outcome_record: AuditOutcome;
}

const QUESTION = 'Which planet is largest, my secret question?\nA. Mars\nB. Jupiter\nC. Venus';

let gateway: TestGateway;
let allowed: string;
let denied: string;
beforeAll(async () => {
  gateway = await openTestGateway();
  gateway.openai.play = answerJson(200, chatCompletion('A secret answer'));
  allowed = await ask({
    model: 'auto',
    messages: [{ role: 'user', content: QUESTION }],
  });
  denied = await ask({ model: 'gpt-6-astra' });
}, 60_000);
beforeEach(() => {
  gateway.openai.play = answerJson(200, chatCompletion('A secret answer'));
});
afterAll(() => gateway.close());

const ask = async (body: Record<string, unknown>): Promise<string> => {
  const answer = await gateway.chat(body);
  await answer.text();
  await gateway.outcomeOf(answer);
  return answer.headers.get('x-aegis-decision-id') ?? '';
};

const read = async (id: string, who: KeyGrant, query = ''): Promise<Response> =>
  fetch(`${gateway.running.adminUrl}/admin/v1/decisions/${id}${query}`, {
    headers: { authorization: `Bearer ${await gateway.keyFor(who)}` },
  });

const ADMIN = grant('demo-university', 'lms', 'admin');
const OTHER_ADMIN = grant('demo-college', 'year-12', 'admin');
const PLATFORM_ADMIN = grant('demo-college', 'year-12', 'platform-admin');

describe('GET /admin/v1/decisions/{id}', () => {
  test('tells how an answer came about: rules with their places, models considered, attempts, cost', async () => {
    const answer = await read(allowed, ADMIN);
    const text = await answer.text();
    const told = JSON.parse(text) as Told;
    expect(answer.status).toBe(200);
    expect(told).toMatchObject({ id: allowed, source: 'audit log', outcome: 'ok', needed: [], notes: [] });
    expect(told.rules.map(({ id }) => id)).toEqual(told.decision.rules);
    expect(told.rules.find(({ id }) => id === 'routing.closed')).toMatchObject({
      title: 'Closed question',
      file: 'policies/rules/routing/routing.rego',
      line: expect.any(Number),
    });
    const tried = told.considered.filter(({ verdict }) => verdict !== 'lost');
    expect(tried.map(({ model, upstream }) => ({ model, upstream }))).toEqual(told.decision.route.candidates);
    expect(told.considered.find(({ model }) => model === 'gpt-6-astra')).toMatchObject({
      verdict: 'lost',
      why: ['role student may not use class frontier', 'not in the pool of class cheap that this task gets'],
    });
    // Only two upstreams are configured here.
    expect(told.considered.find(({ model }) => model === 'campus-8b')?.why).toEqual([
      'upstream local is not configured at this gateway',
    ]);
    expect(told.outcome_record).toMatchObject({ attempts: [{ status: 200 }], cost: { micro_usd: expect.any(Number) } });
    // Facts and hashes, never what was said.
    expect(text).not.toMatch(/secret question|secret answer/);
  });

  test('tells of a refusal what would have been needed, by rule', async () => {
    const told = (await (await read(denied, ADMIN)).json()) as Told;
    expect(told.outcome).toBe('denied');
    expect(told.needed.map(({ rule }) => rule)).toEqual(Array(3).fill('models.model_not_allowed'));
    expect(told.needed.at(-1)).toEqual({
      rule: 'models.model_not_allowed',
      need: 'a role that may use class frontier (classes in policies/roles/data.yaml)',
      one_of: ['admin', 'researcher'],
    });
    expect(told.considered[0]).toMatchObject({ model: 'gpt-6-astra', verdict: 'lost' });
  });

  test('is on record as a read of that decision, found or not', async () => {
    for (const [id, status] of [
      [denied, 200],
      ['dec_01aaaaaaaaaaaaaaaaaaaaaaaa', 404],
    ] as const) {
      const answer = await read(id, ADMIN);
      await answer.text();
      const record = await until(async () =>
        (await gateway.records()).find(
          (event): event is AuditEvent =>
            event.kind === 'event' &&
            (event.detail as { request_id?: unknown }).request_id === answer.headers.get('x-request-id'),
        ),
      );
      expect(record).toMatchObject({
        event: 'admin_read',
        detail: { operation: 'admin.decisions', decision: id, status, caller: { org: 'demo-university' } },
      });
    }
  });

  test('knows no decision of another organisation, as if there were none', async () => {
    const errorOf = async (answer: Response): Promise<Record<string, unknown>> => {
      const { error } = (await answer.json()) as { error: Record<string, unknown> };
      expect(answer.status).toBe(404);
      return { ...error, request_id: '', message: String(error.message).replace(/dec_\w+/, 'ID') };
    };
    const others = await errorOf(await read(denied, OTHER_ADMIN));
    expect(others).toEqual(await errorOf(await read('dec_01aaaaaaaaaaaaaaaaaaaaaaaa', OTHER_ADMIN)));
    expect(others.message).toBe('There is no decision ID here.');
    expect((await read(denied, PLATFORM_ADMIN)).status).toBe(200);
  });

  test('is for those alone whom the policy lets see decisions', async () => {
    const answer = await read(denied, grant('demo-university', 'cs101', 'student'));
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ error: { code: 'admin_not_allowed' } });
  });

  test('gives no prompts and answers, and says where they are', async () => {
    const answer = await read(allowed, PLATFORM_ADMIN, '?content=true');
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      error: { code: 'invalid_field', param: 'content', hint: expect.stringContaining('explain --content') },
    });
    expect((await read(allowed, PLATFORM_ADMIN, '?contnt=1')).status).toBe(400);
  });

  test.each(['x', 'req_1', 'dec_', `dec_${'z'.repeat(26)}`, `dec_${'u'.repeat(26)}`])(
    'has no decision %s',
    async (id) => {
      expect((await read(id, PLATFORM_ADMIN)).status).toBe(404);
    },
  );

  test('finds what another process of this home has decided', async () => {
    const other = await openTestGateway();
    try {
      const id = await gatewayDecision(other);
      await other.running.close();
      const folder = join(gateway.home, 'workers', '7');
      await mkdir(folder, { recursive: true });
      await rename(join(other.home, 'audit'), join(folder, 'audit'));
      expect(await (await read(id, PLATFORM_ADMIN)).json()).toMatchObject({ id, outcome: 'denied', notes: [] });
    } finally {
      await other.openai.close();
      await other.anthropic.close();
      await rm(other.home, { recursive: true, force: true });
      await rm(join(gateway.home, 'workers'), { recursive: true, force: true });
    }
  }, 60_000);
});

const gatewayDecision = async (other: TestGateway): Promise<string> => {
  const answer = await other.chat({ model: 'gpt-6-astra' });
  await answer.text();
  await other.outcomeOf(answer);
  return answer.headers.get('x-aegis-decision-id') ?? '';
};

describe('decisions that the store keeps', () => {
  test('are told from it, without the log', async () => {
    const keeping = await openTestGateway({ config: { store: { decisions_days: 30 } } });
    const explanations = openExplanations({ home: keeping.home, url: '' });
    try {
      const id = await gatewayDecision(keeping);
      const told = await until(async () => {
        const found = await explanations.explain(id, 'demo-university');
        return found?.source === 'store' ? found : undefined;
      });
      expect(told).toMatchObject({ id, outcome: 'denied', position: null, notes: [], considered: expect.any(Array) });
      expect(await explanations.explain(id, 'demo-college')).toBeUndefined();
    } finally {
      await explanations.close();
      await keeping.close();
    }
  }, 60_000);

  test('may be what is asked for while the store is away: only what the log has is told', async () => {
    const away = openExplanations({ home: gateway.home, url: 'postgres://nobody:x@127.0.0.1:1/none' });
    try {
      expect(await away.explain(denied, null)).toMatchObject({ id: denied, source: 'audit log' });
      const error = (await rejectionOf(away.explain(newIds().decisionId, null))) as ExplanationError;
      expect([error.name, error.trouble]).toEqual(['ExplanationError', 'unreadable']);
    } finally {
      await away.close();
    }
  }, 60_000);
});

describe('explanations', () => {
  test('that take too long end, and the next one is given', async () => {
    const explanations = openExplanations({ home: gateway.home, url: '' }, 1);
    const patient = openExplanations({ home: gateway.home, url: '' });
    try {
      const error = (await rejectionOf(explanations.explain(denied, null))) as ExplanationError;
      expect([error.name, error.trouble]).toEqual(['ExplanationError', 'slow']);
      expect(await patient.explain(denied, null)).toMatchObject({ id: denied });
    } finally {
      await explanations.close();
      await patient.close();
    }
  });

  test('hold up no request: they are asked for one at a time, and not more than some wait', async () => {
    const explanations = openExplanations({ home: gateway.home, url: '' });
    try {
      const asked = await Promise.allSettled(Array.from({ length: 20 }, () => explanations.explain(denied, null)));
      expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(16);
      const refused = asked.find((one): one is PromiseRejectedResult => one.status === 'rejected');
      expect(String(refused?.reason)).toContain('too many wait');
    } finally {
      await explanations.close();
    }
  }, 60_000);
});

describe('aegis explain', () => {
  test('says the same on the command line, in 100 columns', async () => {
    const text = explainText(await explain([gateway.home], denied));
    expect(text).toMatch(/^DENIED by policy, status 403/);
    expect(text).toContain(
      'or a role that may use class frontier (classes in policies/roles/data.yaml): admin, researcher',
    );
    expect(text).toMatch(
      /models considered\n {2}lost +gpt-6-astra by openai: role student may not use class frontier\n/,
    );
    expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
  });

  test('traces the recorded input through the interpreter, which decides the same', async () => {
    const { trace } = await explain([gateway.home], denied, { trace: 'fails' });
    expect(trace).toMatchObject({ isSame: true });
    const row = trace?.lines.find((line) => line.includes('model.class in caller.classes')) ?? '';
    expect(row).toMatch(/✗ model\.class in caller\.classes +rules\/models\/models\.rego:\d+$/);
    const full = await explain([gateway.home], denied, { trace: 'full' });
    expect(full.trace?.lines.length).toBeGreaterThan((trace?.lines.length ?? 0) * 5);
    const text = explainText(await explain([gateway.home], denied, { trace: 'fails' }));
    expect(text).toContain('the interpreter decides as was recorded');
    expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
  }, 120_000);
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ContentReader } from '../../gateway/audit/content.ts';
import { auditLayout } from '../../gateway/audit/layout.ts';
import { verifyAudit } from '../../gateway/audit/verify.ts';
import { explain } from '../../gateway/cli/explain.ts';
import { explainText } from '../../gateway/cli/explain-text.ts';
import { reExecute } from '../../gateway/cli/re-execute.ts';
import { MOST_UNDER_WAY } from '../../gateway/stages/mirror.ts';
import { openDatabase } from '../../gateway/store/database.ts';
import { createKey } from '../../gateway/store/keys.ts';
import { openPepper } from '../../gateway/store/pepper.ts';
import { spentSince } from '../../gateway/store/spend-history.ts';
import type { AuditIntent, AuditOutcome } from '../../gateway/types.gen.ts';
import { chatCompletion, chatStream, message } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson, answerStream, hang, openFakeUpstream, reset } from '../support/fake-upstream.ts';
import {
  anthropicAt,
  ledgerOf,
  openaiAt,
  openTestGateway,
  PEOPLE,
  recordsOf,
  type TestGateway,
  until,
} from '../support/gateway.ts';
import { parsePrometheus } from '../support/prometheus-text.ts';
import { startServe, writeConfig } from '../support/serve.ts';

/** What a mirror of the demo policy may cost a day, by the workflow that it concerns. */
const MIRRORS = {
  translated: { model: 'claude-haiku-5-5', workflow: 'tutoring', usd: 5 },
  alike: { model: 'gpt-6-sol', workflow: 'quiz', usd: 5 },
  turned: { model: 'gpt-5.4-nano', workflow: 'essay-feedback', usd: 5 },
  poor: { model: 'claude-haiku-5-5', workflow: 'lesson-planning', usd: 0.0001 },
} as const;
const SALTED = Object.entries(MIRRORS).map(
  ([id, { model, workflow, usd }], salt) =>
    `${id}: { title: A test, model: ${model}, workflows: { ${workflow}: true }, percent: 100, salt: ${salt}, usd_per_day: ${usd}, until: "2099-01-01T00:00:00.000Z" }\n`,
);
const forWorkflow = (name: keyof typeof MIRRORS) => ({ headers: { 'x-aegis-workflow': MIRRORS[name].workflow } });

const EMAIL = 'jane.doe@example.org';
const SECOND = 'The mirror says.';
const ORG = PEOPLE.teacher.org;

let bundles: TestBundles;
beforeAll(async () => {
  bundles = await openTestBundles();
  await bundles.rollOut({ 'mirrors/data.yaml': () => SALTED.join('') });
}, 60_000);
afterAll(() => bundles.remove());

/** The mirrors of a home, whole: an intent and its outcome each. */
const mirrorsIn = async (home: string): Promise<{ intent: AuditIntent; outcome: AuditOutcome | undefined }[]> => {
  const records = await recordsOf(home);
  const outcomes = records.filter((record): record is AuditOutcome => record.kind === 'outcome');
  return records
    .filter((record): record is AuditIntent => record.kind === 'intent' && record.mirror_of !== undefined)
    .map((intent) => ({ intent, outcome: outcomes.find(({ id }) => id === intent.id) }));
};
/** The one mirror that a home has, once it is over. */
const theMirror = (home: string): Promise<{ intent: AuditIntent; outcome: AuditOutcome }> =>
  until(async () => {
    const [first, ...more] = await mirrorsIn(home);
    if (more.length > 0) throw new Error('more mirrors than one');
    return first?.outcome ? { intent: first.intent, outcome: first.outcome } : undefined;
  });
const counted = ({ running }: TestGateway, result: string): number =>
  (parsePrometheus(running.gateway.telemetry.prometheus()).get('aegis_mirrors_total')?.samples ?? [])
    .filter(({ labels }) => labels.result === result)
    .reduce((sum, { value }) => sum + value, 0);
const happened = (gateway: TestGateway, result: string, times = 1) =>
  until(() => (counted(gateway, result) >= times ? true : undefined));
const decisionOf = (answer: Response): string => answer.headers.get('x-aegis-decision-id')!;

describe('a mirror', () => {
  let gateway: TestGateway;
  const mirroredChat = (name: keyof typeof MIRRORS, body: Record<string, unknown> = {}) =>
    gateway.chat(body, { as: 'teacher', ...forWorkflow(name) });
  beforeEach(async () => {
    gateway = await openTestGateway({ config: bundles.config, graceMs: 300 });
    gateway.openai.play = answerJson(200, chatCompletion('Done.'));
    gateway.anthropic.play = answerJson(200, message(SECOND));
  });
  afterEach(() => gateway.close());

  test('is asked after the answer, and what the caller gets is the same to the byte', async () => {
    const plain = await gateway.chat({}, { as: 'teacher' });
    const mirrored = await mirroredChat('translated');
    expect([plain.status, mirrored.status]).toEqual([200, 200]);
    expect(await mirrored.text()).toBe(await plain.text());
    // But for its own ids and times: nothing of the mirror.
    const named = (answer: Response) => [...answer.headers.keys()].sort();
    expect(named(mirrored)).toEqual(named(plain));
    expect(mirrored.headers.get('x-aegis-model')).toBe('gpt-5.4-nano');
    expect(mirrored.headers.get('x-aegis-cost-usd')).toBe(plain.headers.get('x-aegis-cost-usd'));
    await theMirror(gateway.home);
    expect(gateway.anthropic.requests).toHaveLength(1);
  });

  test('has an intent and one outcome of its own, of the same caller and decision, under its tag', async () => {
    const answer = await mirroredChat('translated', { temperature: 0.5 });
    const { intent, outcome } = await theMirror(gateway.home);
    const original = (await gateway.intents()).find(({ id }) => id === decisionOf(answer))!;
    expect(intent).toMatchObject({ mirror_of: original.id, input: original.input, decision: original.decision });
    expect(outcome).toMatchObject({
      mirror_of: original.id,
      outcome: 'ok',
      status: 200,
      model: 'claude-haiku-5-5',
      upstream: 'anthropic',
      caller: { org: ORG, team: PEOPLE.teacher.team, user: PEOPLE.teacher.user },
      purpose: { workflow: 'tutoring', tags: { mirror: 'translated' } },
      endpoint: 'chat.completions',
      usage: { input: 20, output: 5, source: 'provider' },
    });
    expect(outcome.request_id).not.toBe(answer.headers.get('x-request-id'));
    expect(outcome.attempts).toHaveLength(1);
    expect(outcome.cost.micro_usd).toBeGreaterThan(0);
    expect(outcome.cost.micro_usd).toBeLessThan(intent.reserved_micro_usd);
    expect(outcome.experiment).toBeUndefined();
    // No caller's metric has it, and its own have.
    await happened(gateway, 'answered');
    const families = parsePrometheus(gateway.running.gateway.telemetry.prometheus());
    const sum = (name: string) => families.get(name)!.samples.reduce((total, { value }) => total + value, 0);
    expect(sum('aegis_requests_total')).toBe(1);
    expect(sum('aegis_mirrors_cost_usd_total') * 1e6).toBeCloseTo(outcome.cost.micro_usd, 3);
    expect(counted(gateway, 'asked')).toBe(1);
  });

  test('gets the masked body, and its answer is kept encrypted as the decision says', async () => {
    const said = { messages: [{ role: 'user', content: `Write to ${EMAIL}.` }] };
    gateway.anthropic.play = (request, response) => {
      const [placeholder] = /EMAIL_[0-9A-Z]{13}/.exec(request.body.toString()) ?? ['nothing'];
      return answerJson(200, message(`I wrote to ${placeholder}.`))(request, response);
    };
    await mirroredChat('translated', said);
    const { intent, outcome } = await theMirror(gateway.home);
    const [openai, anthropic] = [gateway.openai.last().body.toString(), gateway.anthropic.last().body.toString()];
    expect(anthropic).not.toContain('jane.doe');
    const placeholderIn = (text: string) => /EMAIL_[0-9A-Z]{13}/.exec(text)?.[0];
    expect(placeholderIn(anthropic)).toBe(placeholderIn(openai));
    expect(intent.masked).toEqual({ email: 1 });
    const reader = new ContentReader(auditLayout(gateway.home));
    const prompt = await reader.decrypt(intent.content!);
    const answer = await reader.decrypt(outcome.content!);
    await reader.close();
    expect(prompt!.toString()).toBe(anthropic);
    expect(JSON.parse(answer!.toString())).toMatchObject({
      content: [{ text: `I wrote to ${placeholderIn(openai)}.` }],
    });
  });

  test('is asked for a whole answer where the caller has a stream', async () => {
    gateway.openai.play = (request, response) =>
      JSON.parse(request.body.toString()).stream
        ? answerStream(chatStream(['Do', 'ne.']))(request, response)
        : answerJson(200, chatCompletion(SECOND))(request, response);
    for (const name of ['translated', 'alike'] as const) {
      const answer = await mirroredChat(name, { stream: true, stream_options: { include_usage: true } });
      expect(await answer.text()).toContain('[DONE]');
    }
    await happened(gateway, 'answered', 2);
    const alike = JSON.parse(gateway.openai.last().body.toString());
    expect(alike).toMatchObject({ model: 'gpt-6-sol', messages: [{ role: 'user', content: 'Hello.' }] });
    expect(alike.max_completion_tokens).toBeGreaterThan(0);
    for (const body of [alike, JSON.parse(gateway.anthropic.last().body.toString())]) {
      expect(body).not.toHaveProperty('stream');
      expect(body).not.toHaveProperty('stream_options');
    }
    const outcomes = (await mirrorsIn(gateway.home)).map(({ outcome }) => outcome?.outcome);
    expect(outcomes).toEqual(['ok', 'ok']);
  });

  test('of a message is asked by chat completions, and one of a response by messages', async () => {
    const asked = await gateway.messages({}, { as: 'teacher', ...forWorkflow('turned') });
    expect(await asked.text()).toContain(SECOND);
    await happened(gateway, 'answered', 1);
    expect(gateway.openai.last().path).toBe('/v1/chat/completions');
    gateway.openai.play = answerJson(200, {
      id: 'resp_1',
      object: 'response',
      status: 'completed',
      model: 'gpt-5.4-nano',
      output: [
        {
          type: 'message',
          id: 'm',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'Done.', annotations: [] }],
        },
      ],
      usage: { input_tokens: 20, output_tokens: 5, total_tokens: 25 },
    });
    const body = { model: 'gpt-5.4-nano', input: 'Hello.', store: false };
    const response = await gateway.post('/v1/responses', body, { as: 'teacher', ...forWorkflow('translated') });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('"Done."');
    await happened(gateway, 'answered', 2);
    expect(gateway.anthropic.last().path).toBe('/v1/messages');
    expect(JSON.parse(gateway.anthropic.last().body.toString()).model).toBe('claude-haiku-5-5');
  });

  test('that hangs delays no caller, and as many as may be under way hold no more', async () => {
    gateway.anthropic.play = hang;
    for (let request = 0; request < 12; request++) expect((await mirroredChat('translated')).status).toBe(200);
    await happened(gateway, 'asked', MOST_UNDER_WAY);
    expect(gateway.anthropic.requests).toHaveLength(MOST_UNDER_WAY);
    const families = parsePrometheus(gateway.running.gateway.telemetry.prometheus());
    const open = families.get('aegis_mirrors_open')!.samples.map(({ labels, value }) => [labels.state, value]);
    expect(open).toEqual([
      ['under_way', MOST_UNDER_WAY],
      ['waiting', 12 - MOST_UNDER_WAY],
    ]);
    expect(families.get('aegis_requests_open')!.samples[0]!.value).toBe(0);
  });

  test('whose upstream fails is one outcome and no trouble of the caller’s: no circuit opens, nothing is tried again', async () => {
    const plays = [
      answerJson(500, {}),
      reset,
      answerJson(429, {}),
      answerJson(400, { error: {} }),
      answerJson(200, 'no json'),
    ];
    for (const [at, play] of [...plays, ...plays].entries()) {
      gateway.anthropic.play = play;
      expect((await mirroredChat('translated')).status).toBe(200);
      await happened(gateway, 'failed', at + 1);
    }
    const ends = await mirrorsIn(gateway.home);
    expect(ends.map(({ outcome }) => outcome?.attempts.length)).toEqual(ends.map(() => 1));
    const outcomes = ends.map(({ outcome }) => [outcome?.outcome, outcome?.error]);
    expect(outcomes.slice(0, 5)).toEqual([
      ['failed', 'upstream_error'],
      ['failed', 'upstream_error'],
      ['failed', 'upstream_error'],
      ['rejected', 'upstream_rejected'],
      ['failed', 'upstream_error'],
    ]);
    const upstream = gateway.running.gateway.upstreams.get('anthropic')!;
    expect(upstream.status()).toMatchObject({ circuit: 'closed', error_rate: 0, in_flight: 0 });
    gateway.anthropic.play = answerJson(200, message('Fine.'));
    expect((await gateway.messages({}, { as: 'teacher' })).status).toBe(200);
  });

  test('stops at its own budget, and callers’ budgets and answers have nothing of it', async () => {
    const before = gateway.running.gateway.limiter.spend([{ scope: 'org', subject: ORG }], Date.now());
    expect(before).toEqual([]);
    // 42 µ$ each, and some 46 at most: two are within the 100.
    gateway.anthropic.play = answerJson(200, message(SECOND, { input_tokens: 100, output_tokens: 64 }));
    for (let request = 0; request < 3; request++) {
      expect((await mirroredChat('poor', { max_tokens: 64 })).status).toBe(200);
      await until(() =>
        ['answered', 'over_budget'].reduce((sum, result) => sum + counted(gateway, result), 0) > request
          ? true
          : undefined,
      );
    }
    expect([counted(gateway, 'answered'), counted(gateway, 'over_budget')]).toEqual([2, 1]);
    expect(gateway.anthropic.requests.length).toBe(counted(gateway, 'asked'));
    const rows = await ledgerOf(gateway.home);
    const [own, mirrored] = [
      rows.filter(({ model }) => model === 'gpt-5.4-nano'),
      rows.filter(({ model }) => model !== 'gpt-5.4-nano'),
    ];
    const sum = (of: typeof rows) => of.reduce((total, { cost_micro_usd: cost }) => total + cost, 0);
    const spend = (scope: 'org' | 'tag', subject: string) =>
      gateway.running.gateway.limiter
        .spend([{ scope, subject }], Date.now())
        .map(({ micro_usd, reserved_micro_usd }) => [micro_usd, reserved_micro_usd]);
    expect(spend('org', ORG)).toEqual([[sum(own), 0]]);
    expect(spend('tag', `${ORG}/mirror=poor`)).toEqual([[sum(mirrored), 0]]);
    // After a restart the ledger says the same of both.
    const database = await openDatabase(gateway.home);
    const [from, to] = [Date.now() - 3_600_000, Date.now() + 3_600_000];
    expect(spentSince(database, 'org', ORG, from, to)).toBe(sum(own));
    expect(spentSince(database, 'tag', `${ORG}/mirror=poor`, from, to)).toBe(sum(mirrored));
    await database.close();
  });

  test('is known under the request that it mirrors and the other way round; the log verifies and decides the same', async () => {
    const answer = await mirroredChat('alike');
    const { intent } = await theMirror(gateway.home);
    const original = explainText(await explain([gateway.home], decisionOf(answer)));
    expect(original).toMatch(new RegExp(`mirrored by +${intent.id}`));
    expect(original).toMatch(/mirror +alike: gpt-6-sol by openai, within \$5\.00 a day/);
    const mirrored = explainText(await explain([gateway.home], intent.id));
    expect(mirrored).toMatch(new RegExp(`mirror of +${decisionOf(answer)}`));
    expect(await verifyAudit(gateway.home)).toMatchObject({ ok: true, problems: [], openIntents: [] });
    const again = await reExecute(gateway.home, { homes: [gateway.home], files: new Map() });
    expect(again).toMatchObject({ equal: 2, different: 0, notReExecuted: {} });
  });

  test('is not asked what was refused', async () => {
    gateway.openai.play = answerJson(400, { error: { message: 'no' } });
    expect((await mirroredChat('translated')).status).toBe(400);
    gateway.openai.play = answerJson(200, chatCompletion('Done.'));
    const answer = await mirroredChat('translated');
    await theMirror(gateway.home);
    expect((await mirrorsIn(gateway.home))[0]!.intent.mirror_of).toBe(decisionOf(answer));
  });

  test('has a tag that no caller can send', async () => {
    const headers = { 'x-aegis-tags': 'mirror=poor' };
    const answer = await gateway.chat({}, { as: 'teacher', headers });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('has the tag mirror, which the gateway alone gives');
  });
});

test('a stop waits for mirrors as for requests, no longer than its grace, and writes their outcomes', async () => {
  const [openai, anthropic] = [
    await openFakeUpstream(answerJson(200, chatCompletion('Done.'))),
    await openFakeUpstream(hang),
  ];
  const home = await mkdtemp(join(tmpdir(), 'aegis-mirror-'));
  const gateway = await openTestGateway({
    home,
    upstreams: [openaiAt(openai), anthropicAt(anthropic)],
    config: bundles.config,
    graceMs: 500,
  });
  try {
    for (let request = 0; request < 12; request++) {
      const answer = await gateway.chat({}, { as: 'teacher', ...forWorkflow('translated') });
      await answer.text();
    }
    await happened(gateway, 'asked', 8);
    const started = performance.now();
    await gateway.close();
    expect(performance.now() - started).toBeLessThan(8_000);
    const mirrors = await mirrorsIn(home);
    // Those that waited were never asked.
    expect(mirrors).toHaveLength(8);
    expect(mirrors.map(({ outcome }) => [outcome?.outcome, outcome?.error])).toEqual(
      mirrors.map(() => ['failed', 'shutting_down']),
    );
    expect(await verifyAudit(home)).toMatchObject({ ok: true, problems: [], openIntents: [] });
  } finally {
    await Promise.all([openai.close(), anthropic.close()]);
    await rm(home, { recursive: true, force: true });
  }
}, 60_000);

test('a gateway that dies with a mirror under way charges it as it was reserved, to the mirror alone', async () => {
  const [openai, anthropic] = [
    await openFakeUpstream(answerJson(200, chatCompletion('Done.'))),
    await openFakeUpstream(hang),
  ];
  const home = await mkdtemp(join(tmpdir(), 'aegis-mirror-kill-'));
  try {
    const database = await openDatabase(home);
    const { secret } = await createKey(database.db, openPepper(home), PEOPLE.teacher);
    await database.close();
    const config = await writeConfig(home, [openaiAt(openai), anthropicAt(anthropic)], bundles.config);
    const served = await startServe(['--config', config], {});
    const headers = {
      authorization: `Bearer ${secret}`,
      'content-type': 'application/json',
      ...forWorkflow('translated').headers,
    };
    const body = JSON.stringify({ model: 'gpt-5.4-nano', messages: [{ role: 'user', content: 'Hello.' }] });
    const answer = await fetch(`${served.url}/v1/chat/completions`, { method: 'POST', headers, body });
    expect(answer.status).toBe(200);
    await until(() => anthropic.requests[0]);
    await served.stop('SIGKILL');

    const gateway = await openTestGateway({ home, config: bundles.config });
    const { intent, outcome } = await theMirror(home);
    expect(outcome).toMatchObject({
      outcome: 'unknown',
      mirror_of: decisionOf(answer),
      request_id: intent.id.replace('dec_', 'req_'),
      purpose: { tags: { mirror: 'translated' } },
      cost: { micro_usd: intent.reserved_micro_usd },
    });
    expect(intent.reserved_micro_usd).toBeGreaterThan(0);
    const own = (await gateway.outcomes()).find(({ id }) => id === decisionOf(answer))!;
    const rows = await ledgerOf(home);
    const charged = rows.map(({ request_id: id, cost_micro_usd: cost }) => [id, cost]).sort();
    expect(charged).toEqual(
      [
        [own.request_id, own.cost.micro_usd],
        [outcome.request_id, intent.reserved_micro_usd],
      ].sort(),
    );
    // The budget of the mirror goes on where it was, and the organisation's has nothing of it.
    const { limiter } = gateway.running.gateway;
    const demand = { kind: 'spend', timezone: 'UTC', period: 'day', capMicroUsd: 1e9, amount: 1 } as const;
    const taken = await limiter.take(
      'dec_a',
      ORG,
      [
        { ...demand, scope: 'tag', subject: `${ORG}/mirror=translated` },
        { ...demand, scope: 'org', subject: ORG },
      ],
      Date.now(),
    );
    expect(taken.granted).toBe(true);
    expect(taken.states.map(({ remaining }) => 1e9 - 1 - remaining)).toEqual([
      intent.reserved_micro_usd,
      own.cost.micro_usd,
    ]);
    expect(await verifyAudit(home)).toMatchObject({ ok: true, problems: [], openIntents: [] });
    await gateway.close();
  } finally {
    await Promise.all([openai.close(), anthropic.close()]);
    await rm(home, { recursive: true, force: true });
  }
}, 60_000);

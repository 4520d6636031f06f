import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { experimentCommand } from '../../gateway/cli/experiment.ts';
import { replayCommand } from '../../gateway/cli/replay.ts';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import { chatCompletion, message } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type TestGateway, until } from '../support/gateway.ts';
import { runCommand } from '../support/run-command.ts';

// An experiment of a bundle of the test's own, with real requests: half of the users of the LMS get another model, which
// declines to answer, until the guard sends everybody back to control.

const DAY_MS = 86_400_000;
const EXPERIMENT = {
  title: 'Haiku for the LMS',
  organizations: { 'demo-university': true },
  unit: 'user',
  salt: 4,
  start: new Date(Date.now() - DAY_MS).toISOString(),
  end: new Date(Date.now() + DAY_MS).toISOString(),
  arms: { control: { share: 50, model: 'gpt-5.4-nano' }, haiku: { share: 50, model: 'claude-haiku-5-5' } },
  metric: { name: 'score', better: 'higher' },
  guards: { max_refusal_rate_increase: 0.2, max_error_rate_increase: 0.5 },
};
const QUESTION = 'Which is a prime? A) 4 B) 6 C) 7 D) 9';

let bundles: TestBundles;
let gateway: TestGateway;
beforeAll(async () => {
  bundles = await openTestBundles();
  await bundles.rollOut({ 'experiments/data.yaml': () => stringify({ haiku: EXPERIMENT }) });
  gateway = await openTestGateway({ config: bundles.config });
  gateway.openai.play = answerJson(200, chatCompletion('C'));
  gateway.anthropic.play = answerJson(200, message('C'));
}, 120_000);
afterAll(async () => {
  await gateway?.close();
  await bundles?.remove();
});

const ask = async (user: string, more: Record<string, unknown> = {}): Promise<Response> => {
  const answer = await gateway.chat(
    { model: 'auto', messages: [{ role: 'user', content: QUESTION }], ...more },
    { as: 'service', headers: { 'x-aegis-user': user } },
  );
  await answer.text();
  return answer;
};
const modelOf = (answer: Response): string => answer.headers.get('x-aegis-model') ?? `${answer.status}`;
const rate = (answer: Response, body: Record<string, unknown>, headers: Record<string, string> = {}) =>
  gateway.post(
    '/v1/feedback',
    { decision_id: answer.headers.get('x-aegis-decision-id'), ...body },
    { as: 'service', headers },
  );
const show = async (): Promise<Record<string, never>> =>
  JSON.parse(
    await runCommand(experimentCommand(), 'show', 'haiku', '--home', gateway.home, '--json', '--key', ...KEYS),
  );
const KEYS = ['bundles/keys/demo.pub.pem'];

describe('an experiment', () => {
  test('gives each user one arm, the same each time, and says so in the outcome', async () => {
    const users = Array.from({ length: 40 }, (_, at) => `student-${at}`);
    const first = new Map<string, string>();
    for (const user of users) first.set(user, modelOf(await ask(user)));
    expect(new Set(first.values())).toEqual(new Set(['gpt-5.4-nano', 'claude-haiku-5-5']));
    for (const user of users) expect(modelOf(await ask(user))).toBe(first.get(user));

    const { experiment } = await gateway.outcomeOf(await ask('student-0'));
    const arm = first.get('student-0') === 'gpt-5.4-nano' ? 'control' : 'haiku';
    expect(experiment).toEqual({
      id: 'haiku',
      arm,
      definition: expect.stringMatching(/^[0-9a-f]{16}$/),
      unit: 'user demo-university student-0',
    });
  }, 60_000);

  test('leaves a call alone that names its model', async () => {
    const answer = await ask('student-0', { model: 'gpt-5.4-nano' });
    expect((await gateway.outcomeOf(answer)).experiment).toBeUndefined();
  });

  test('is judged by what applications say of its answers', async () => {
    const answer = await ask('student-1');
    expect((await rate(answer, { score: 0.75 })).status).toBe(200);
    const report = (await show()) as unknown as {
      exposure: { units: number }[];
      metrics: { metric: string; arms: { count: number; value: number | null }[] }[];
      verdict: { kind: string };
    };
    expect(report.exposure.reduce((sum, { units }) => sum + units, 0)).toBe(40);
    const score = report.metrics.find(({ metric }) => metric === 'score')!;
    expect(score.arms.filter(({ count }) => count > 0)).toMatchObject([{ count: 1, value: 0.75 }]);
    expect(report.verdict.kind).toBe('keep_running');
  }, 30_000);

  test('sends everybody back to control when a guard is breached', async () => {
    const refusing = { ...message(''), content: [], stop_reason: 'refusal' };
    gateway.anthropic.play = answerJson(200, refusing);
    const users = Array.from({ length: 150 }, (_, at) => `pupil-${at}`);
    for (const user of users) await ask(user);
    const treated = users[0]!;
    await until(() => gateway.running.gateway.facts.experiments().haiku, 25_000);
    for (const user of users.slice(0, 20)) expect(modelOf(await ask(user))).toBe('gpt-5.4-nano');
    // Everybody in one arm is no comparison: it counts no more.
    const after = await gateway.outcomeOf(await ask(treated));
    expect(after.experiment).toBeUndefined();

    const event = await until(async () =>
      (await gateway.records()).find((record) => record.kind === 'event' && record.event === 'experiment_stopped'),
    );
    expect(event).toMatchObject({
      detail: { experiment: 'haiku', arm: 'haiku', guard: 'max_refusal_rate_increase', limit: 0.2 },
    });
    const report = (await show()) as unknown as { state: string; verdict: { kind: string; text: string } };
    process.exitCode = 0;
    expect(report.state).toBe('stopped');
    expect(report.verdict).toMatchObject({ kind: 'stopped_by_guard' });

    const metrics = await (await fetch(`${gateway.running.adminUrl}/metrics`)).text();
    expect(metrics).toContain('aegis_experiment_stopped 1');
    expect(metrics).toMatch(/aegis_experiment_stops_total\{guard="max_refusal_rate_increase"\} 1/);
  }, 120_000);

  test('is told to administrators, each of one’s own organisation by its own requests', async () => {
    const admin = { team: '', user: 'root', groups: [], workflows: [] };
    const list = async (org: string, role: string) => {
      const secret = await gateway.keyFor({ ...admin, org, roles: [role] });
      const answer = await fetch(`${gateway.running.adminUrl}/admin/v1/experiments`, {
        headers: { authorization: `Bearer ${secret}` },
      });
      expect(answer.status).toBe(200);
      return ((await answer.json()) as { data: { id: string; exposure: { requests: number }[] }[] }).data;
    };
    expect(await list('demo-university', 'admin')).toMatchObject([{ id: 'haiku', state: 'stopped' }]);
    expect(await list('demo-college', 'admin')).toEqual([]);
    expect(await list('demo-university', 'platform-admin')).toHaveLength(1);
  }, 30_000);

  test('is decided again as it was by a replay, before and after the stop: the arm is a function of the input', async () => {
    const bundle = join(bundles.folder, 'test.tar.gz');
    const flags = ['--home', gateway.home, '--key', ...KEYS, '--re-execute', '--json'];
    const text = await runCommand(replayCommand(), '--bundle', bundle, '--against', bundle, ...flags);
    const { decisions } = JSON.parse(text) as { decisions: Record<string, number> };
    expect(decisions.proved).toBeGreaterThan(200);
    expect(decisions).toMatchObject({ unproved: 0, touched: 0, completed: 0 });
  }, 60_000);

  test('whose arm’s model no longer takes what callers send is stopped by its failures', async () => {
    // Its own ids and draw: what was counted of the other is not counted here.
    const broken = { ...EXPERIMENT, salt: 11, guards: { max_error_rate_increase: 0.2 } };
    const revision = await bundles.rollOut({ 'experiments/data.yaml': () => stringify({ broken }) });
    await until(() => (gateway.running.gateway.policies.current?.ref.revision === revision ? true : undefined));
    gateway.anthropic.play = answerJson(400, {
      type: 'error',
      error: { type: 'invalid_request_error', message: 'temperature: this model does not take it' },
    });
    const statuses = new Map<string, number>();
    for (let at = 0; at < 150; at++) statuses.set(`reader-${at}`, (await ask(`reader-${at}`)).status);
    const failed = [...statuses].filter(([, status]) => status === 400).map(([user]) => user);
    expect(failed.length).toBeGreaterThan(50);
    await until(() => gateway.running.gateway.facts.experiments().broken, 25_000);
    for (const user of failed.slice(0, 10)) expect(modelOf(await ask(user))).toBe('gpt-5.4-nano');
    const event = await until(async () =>
      (await gateway.records()).find(
        (record) => record.kind === 'event' && (record.detail as { experiment?: string }).experiment === 'broken',
      ),
    );
    expect(event).toMatchObject({ event: 'experiment_stopped', detail: { guard: 'max_error_rate_increase' } });
  }, 120_000);

  test('whose arm’s provider is down lets the next model answer, and then pauses for both arms alike', async () => {
    const down = { ...EXPERIMENT, salt: 12 };
    gateway.anthropic.play = answerJson(200, message('C'));
    const revision = await bundles.rollOut({ 'experiments/data.yaml': () => stringify({ down }) });
    await until(() => (gateway.running.gateway.policies.current?.ref.revision === revision ? true : undefined));
    gateway.anthropic.play = answerJson(500, { type: 'error', error: { type: 'api_error', message: 'Internal' } });
    const outcomes: AuditOutcome[] = [];
    for (let at = 0; at < 60; at++) outcomes.push(await gateway.outcomeOf(await ask(`walker-${at}`)));
    // Nobody gets an error, so none is counted: what callers got of this arm is another model's answer.
    const treated = outcomes.filter(({ experiment }) => experiment?.arm === 'haiku');
    expect(treated.length).toBeGreaterThan(0);
    for (const { outcome, model, attempts } of treated) {
      expect({ outcome, model, tried: attempts[0]?.model }).toEqual({
        outcome: 'ok',
        model: 'gpt-5.4-nano',
        tried: 'claude-haiku-5-5',
      });
    }
    expect(gateway.running.gateway.facts.upstreams().anthropic).toMatchObject({ state: 'down' });
    for (const { experiment } of outcomes.slice(-20)) expect(experiment).toBeUndefined();
  }, 120_000);
});

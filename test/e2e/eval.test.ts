import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { drawRecorded } from '../../gateway/evaluate/recorded.ts';
import { requireCompiler } from '../../gateway/policy/compiler.ts';
import type { EvalResults, Quality } from '../../gateway/types.gen.ts';
import { chatCompletion, message } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson, type Play } from '../support/fake-upstream.ts';
import { openTestGateway, PEOPLE, ROOT, type TestGateway, until } from '../support/gateway.ts';

// `./aegis eval` as people run it, in a process of its own, against a gateway in front of fake providers.

/** A run of the command line. */
interface Run {
  readonly process: ChildProcess;
  readonly ended: Promise<{ code: number | null; out: string; err: string }>;
  err(): string;
}

let gateway: TestGateway;
let folder: string;
let suiteFile: string;
let round = 0;

/** Answers of the three models: the small one knows every second answer, the others know all, slower. */
let delayMs = 0;
let override: ((prompt: string, model: string) => { status?: number; text?: string } | undefined) | undefined;

const play: Play = async (request, response) => {
  const body = JSON.parse(request.body.toString()) as { model: string; messages: { content: unknown }[] };
  const text = JSON.stringify(body.messages);
  const number = Number(/question (\d+)/.exec(text)?.[1] ?? -1);
  if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
  const told = override?.(text, body.model);
  const isMessages = request.path.endsWith('/messages');
  if (told?.status)
    return answerJson(told.status, { error: { message: 'no', type: 'invalid_request_error' } })(request, response);
  const answer = told?.text ?? (body.model.includes('nano') && number % 2 === 1 ? 'B' : 'A');
  return answerJson(200, isMessages ? message(answer) : chatCompletion(answer))(request, response);
};

beforeAll(async () => {
  gateway = await openTestGateway();
  gateway.openai.play = play;
  gateway.anthropic.play = play;
  folder = await mkdtemp(join(tmpdir(), 'aegis-eval-e2e-'));
}, 120_000);
afterAll(async () => {
  await gateway.close();
  await rm(folder, { recursive: true, force: true });
});

const MODELS = ['gpt-5.4-nano', 'claude-haiku-5-5', 'gpt-6-sol'];
const items = (count: number) =>
  Array.from({ length: count }, (_, at) => ({
    id: `t${at}`,
    question: `This is question ${at} of run ${round}.`,
    answer: 'A',
  }));

const writeSuite = async (changes: Record<string, unknown> = {}, count = 40): Promise<void> => {
  const suite = {
    name: 'unit',
    task: 'closed',
    dataset: { items: items(count) },
    prompt: { user: '{{question}}' },
    parameters: { max_completion_tokens: 50 },
    models: MODELS,
    graders: [{ kind: 'choice', expected: '{{answer}}' }],
    ...changes,
  };
  await writeFile(suiteFile, JSON.stringify(suite));
};

beforeEach(async () => {
  suiteFile = join(folder, `${++round}`, 'unit.yaml');
  await rm(join(folder, String(round)), { recursive: true, force: true });
  await cp(join(ROOT, 'evaluations', 'data', 'README.md'), join(folder, String(round), 'README.md'));
  delayMs = 0;
  override = undefined;
  gateway.openai.requests.length = 0;
  gateway.anthropic.requests.length = 0;
  await writeSuite();
});

const start = async (args: readonly string[], env: Record<string, string> = {}): Promise<Run> => {
  const child = spawn(join(ROOT, 'aegis'), ['eval', ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? '',
      AEGIS_API_KEY: await gateway.key('researcher'),
      AEGIS_URL: gateway.url,
      ...env,
    },
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  return {
    process: child,
    ended: once(child, 'close').then(([code]) => ({ code: code as number | null, out, err })),
    err: () => err,
  };
};
const evaluate = async (...args: string[]) => (await start(['run', suiteFile, ...args])).ended;
const resultsIn = async (): Promise<EvalResults> =>
  JSON.parse(await readFile(join(folder, String(round), 'results', 'unit', 'results.json'), 'utf8')) as EvalResults;
const asked = (): string[] =>
  [...gateway.openai.requests, ...gateway.anthropic.requests].map(({ body }) => {
    const { model, messages } = JSON.parse(body.toString()) as { model: string; messages: unknown };
    return JSON.stringify([model, messages]);
  });

describe('a run', () => {
  test('puts every task to every model once, through the gateway and under its name, and compares them', async () => {
    const { code, out, err } = await evaluate();
    expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
    expect(asked().length).toBe(120);
    expect(new Set(asked()).size).toBe(120);
    const { models, comparisons, is_complete, items: tasks } = await resultsIn();
    expect(is_complete).toBe(true);
    expect(models.map(({ model, graded, quality }) => [model, graded, quality?.estimate])).toEqual([
      ['gpt-5.4-nano', 40, 0.5],
      ['claude-haiku-5-5', 40, 1],
      ['gpt-6-sol', 40, 1],
    ]);
    expect(comparisons[0]).toMatchObject({ model: 'claude-haiku-5-5', wins: 20, losses: 0, ties: 20, difference: 0.5 });
    expect(comparisons[0]?.p_value).toBeLessThan(0.001);
    expect(tasks.length).toBe(40);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
    const outcomes = (await gateway.outcomes()).slice(-120);
    expect(new Set(outcomes.map(({ purpose }) => purpose?.use_case))).toEqual(new Set(['evaluation']));
    expect(new Set(outcomes.map(({ purpose }) => purpose?.tags.suite))).toEqual(new Set(['unit']));
    // What it says it cost is what the ledger says.
    const cost = outcomes.reduce((sum, { cost: { micro_usd } }) => sum + micro_usd, 0);
    expect((await resultsIn()).spent_usd).toBeCloseTo(cost / 1e6, 9);
  }, 60_000);

  test('asks nothing when it is run again, nor after a change of a grader', async () => {
    await evaluate();
    await writeSuite({ graders: [{ kind: 'exact', expected: 'B' }] });
    expect((await evaluate()).code).toBe(0);
    expect(asked().length).toBe(120);
    expect((await resultsIn()).models[0]?.quality?.estimate).toBe(0.5);
    expect((await resultsIn()).models[1]?.quality?.estimate).toBe(0);
  }, 60_000);

  test('asks a few tasks first, and the others later', async () => {
    expect((await evaluate('--limit', '5')).code).toBe(0);
    expect(asked().length).toBe(15);
    expect(await resultsIn()).toMatchObject({ is_complete: false, tasks: 40, tasks_asked: 5 });
    expect((await evaluate()).code).toBe(0);
    expect(new Set(asked()).size).toBe(120);
    expect(asked().length).toBe(120);
  }, 60_000);

  test('goes on after kill -9 without a call made twice', async () => {
    delayMs = 30;
    const first = await start(['run', suiteFile]);
    await until(() => (asked().length >= 30 ? true : undefined), 30_000);
    first.process.kill('SIGKILL');
    await first.ended;
    const before = asked().length;
    expect(before).toBeLessThan(100);
    delayMs = 0;
    const { code, out } = await evaluate();
    expect(code).toBe(0);
    expect(asked().length).toBe(new Set(asked()).size);
    // At most what was under way is lost, and is said to be.
    const { models } = await resultsIn();
    const lost = models.reduce((sum, model) => sum + model.lost, 0);
    expect(asked().length).toBeGreaterThanOrEqual(116);
    expect(lost).toBeLessThanOrEqual(4);
    if (lost > 0) expect(out).toContain('--repeat-lost');
    expect((await evaluate('--repeat-lost')).code).toBe(0);
    expect(await resultsIn()).toMatchObject({ is_complete: true });
  }, 90_000);

  test('ends what is under way on Ctrl-C, shows what there is, exits 130, and goes on when run again', async () => {
    delayMs = 50;
    const run = await start(['run', suiteFile]);
    await until(() => (asked().length >= 12 ? true : undefined), 30_000);
    run.process.kill('SIGINT');
    const { code, out } = await run.ended;
    expect(code).toBe(130);
    expect(out).toContain('INCOMPLETE');
    const { models, end } = await resultsIn();
    expect(end.reason).toBe('stopped');
    expect(models.map(({ lost }) => lost)).toEqual([0, 0, 0]);
    const done = asked().length;
    expect(done).toBeLessThan(60);
    expect(models.reduce((sum, { answers }) => sum + answers, 0)).toBe(done);
    delayMs = 0;
    expect((await evaluate()).code).toBe(0);
    expect(asked().length).toBe(120);
    expect(new Set(asked()).size).toBe(120);
  }, 90_000);

  test('stops before its budget could be passed, and goes on with a larger one', async () => {
    const { code } = await evaluate('--budget-usd', '0.003');
    expect(code).toBe(1);
    const cut = await resultsIn();
    expect(cut.end.reason).toBe('budget');
    expect(cut.spent_usd).toBeLessThanOrEqual(0.003);
    expect(asked().length).toBeGreaterThan(0);
    expect((await evaluate('--budget-usd', '5')).code).toBe(0);
    expect(asked().length).toBe(120);
  }, 60_000);

  test('waits for a rate limit and loses nothing to it', async () => {
    // The standing of a student in a free team: twenty requests a minute.
    await writeSuite({ models: ['gpt-5.4-nano'] }, 22);
    const grant = {
      org: 'demo-university',
      team: 'hist110',
      user: `u${round}`,
      roles: ['student'],
      groups: [],
      workflows: [],
    };
    const run = await start(['run', suiteFile, '--concurrency', '8'], { AEGIS_API_KEY: await gateway.keyFor(grant) });
    const { code, err } = await run.ended;
    expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
    expect((await gateway.outcomes()).some(({ outcome }) => outcome === 'limited')).toBe(true);
    expect((await resultsIn()).models[0]).toMatchObject({ graded: 22, failures: {}, lost: 0 });
  }, 120_000);

  test('counts a failed answer as missing and compares on what is there; --repeat-failed asks again', async () => {
    override = (prompt, model) =>
      model.includes('haiku') && /question (?:3|5) /.test(prompt) ? { status: 400 } : undefined;
    expect((await evaluate()).code).toBe(0);
    const { models, compared_tasks, notes } = await resultsIn();
    expect(compared_tasks).toBe(38);
    expect(models[1]).toMatchObject({ graded: 38, quality: { estimate: 1 } });
    expect(Object.values(models[1]?.failures ?? {})).toEqual([2]);
    expect(notes.join(' ')).toContain('38 tasks');
    override = undefined;
    expect((await evaluate('--repeat-failed')).code).toBe(0);
    expect((await resultsIn()).models[1]).toMatchObject({ graded: 40, failures: {} });
  }, 60_000);

  test('is refused before anything is asked where it cannot be', async () => {
    await writeSuite({
      models: ['gpt-5.4-nano', 'no-such-model', 'text-embedding-3-small'],
      prompt: { user: '{{qestion}}' },
      graders: [
        { kind: 'regex', pattern: '(' },
        { kind: 'judge', model: 'gpt-5.4-nano' },
      ],
    });
    const { code, err } = await evaluate();
    expect(code).toBe(1);
    expect(err).toContain('no model "no-such-model"');
    expect(err).toContain('text-embedding-3-small is no chat model');
    expect(err).toContain('has no field "qestion"');
    expect(err).toContain('grader "regex"');
    expect(err).toContain('needs "rubric"');
    expect(err).toContain('judges its own answers');
    expect(asked()).toEqual([]);
  }, 60_000);

  test('is refused before anything is asked with a key that is none, or may not use a model or a judge', async () => {
    expect((await (await start(['run', suiteFile], { AEGIS_API_KEY: 'none' })).ended).err).toContain(
      'invalid_credential',
    );
    await writeSuite({ graders: [{ kind: 'judge', model: 'gpt-6-astra', rubric: 'Right.' }] });
    const { code, err } = await (await start(['run', suiteFile], { AEGIS_API_KEY: await gateway.key('student') }))
      .ended;
    expect(code).toBe(1);
    expect(err).toContain('does not offer gpt-6-astra');
    expect(asked()).toEqual([]);
  }, 60_000);

  test('of two at a time on the same results the second is refused', async () => {
    delayMs = 40;
    const first = await start(['run', suiteFile]);
    await until(() => (asked().length > 0 ? true : undefined), 30_000);
    const { code, err } = await evaluate();
    expect(code).toBe(1);
    expect(err).toContain('another run');
    delayMs = 0;
    expect((await first.ended).code).toBe(0);
    expect(asked().length).toBe(120);
  }, 60_000);
});

describe('judges', () => {
  const JUDGING = {
    models: ['gpt-5.4-nano', 'claude-haiku-5-5'],
    graders: [
      { kind: 'judge', model: 'gpt-6-sol', rubric: 'The right letter is {{answer}}.', human: 'mark' },
      { kind: 'pairwise', model: 'gpt-6-sol', rubric: 'Right beats wrong.', weight: 0 },
    ],
  };

  test('mark and compare in both orders; a reply without a mark is asked for once more, then missing', async () => {
    const dataset = {
      items: items(12).map((item, at) => ({ ...item, mark: { 'gpt-5.4-nano': at % 2 === 1 ? 1 : 5 } })),
    };
    await writeSuite({ ...JUDGING, dataset });
    override = (prompt, model) => {
      if (!model.includes('sol')) return undefined;
      if (prompt.includes('compare two answers')) {
        const [, first] = /ANSWER 1 \w+ =====\\n([AB])/.exec(prompt) ?? [];
        const [, second] = /ANSWER 2 \w+ =====\\n([AB])/.exec(prompt) ?? [];
        // Of equal answers it takes the first, whatever the order.
        return { text: JSON.stringify({ reason: 'r', better: first === second ? '1' : first === 'A' ? '1' : '2' }) };
      }
      if (/question 0 /.test(prompt)) return { text: 'I would give it a 5.' };
      if (/question 2 /.test(prompt))
        return { text: prompt.includes('not the JSON') ? '{"reason":"r","mark":5}' : 'MARK: 5' };
      const [, answer] = /ANSWER \w+ =====\\n([AB])/.exec(prompt) ?? [];
      return { text: JSON.stringify({ reason: 'r', mark: answer === 'A' ? 5 : 1 }) };
    };
    const { code, err } = await evaluate();
    expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
    const { judges, models } = await resultsIn();
    const [mark, pair] = judges;
    // Twelve tasks, two models, two reminders for each of two tasks.
    expect(mark).toMatchObject({ calls: 28, reminders: 4, unmarked: 2, model: 'gpt-6-sol', kind: 'judge' });
    expect(mark?.prompt).toContain('never an instruction');
    expect(mark?.agreement).toMatchObject({ marks: 11, exact: 1, kappa: 1, spearman: 1 });
    expect(models[0]).toMatchObject({ graded: 11, unmarked: 1 });
    expect(models[1]?.quality?.estimate).toBe(1);
    // Six of the twelve pairs are of equal answers, where the order decides.
    expect(pair).toMatchObject({ calls: 24, order_decided: 0.5, agreement: null });
    // Of the eleven tasks with a score: six won, five where the order decided.
    expect(models[1]?.graders.pairwise).toBeCloseTo((6 + 5 * 0.5) / 11, 9);
    const before = asked().length;
    expect((await evaluate()).code).toBe(0);
    expect(asked().length).toBe(before);
  }, 60_000);
});

describe('the page', () => {
  test('holds hostile answers as data alone', async () => {
    const hostile = '</script><script>alert(1)</script><img src=x onerror=alert(1)> <!-- \u2028 ]]>';
    override = () => ({ text: hostile });
    await writeSuite({ title: '<b>"title\'</b>', models: ['gpt-5.4-nano'] }, 3);
    expect((await evaluate()).code).toBe(0);
    const html = await readFile(join(folder, String(round), 'results', 'unit', 'report.html'), 'utf8');
    expect(html).not.toContain('<img');
    expect(html).not.toContain('<b>"');
    expect(html.match(/<script/g)?.length).toBe(2);
    expect(html).toMatch(/content-security-policy" content="default-src 'none'[^"]*script-src 'sha256-/);
    const [, data = ''] = /id="data">(.*?)<\/script>/s.exec(html) ?? [];
    expect(html.replace(data, '')).not.toMatch(/\s(?:src|href)=/);
    expect((JSON.parse(data) as Pick<EvalResults, 'items'>).items[0]?.answers[0]?.text).toBe(hostile);
    const shown = await (await start(['show', suiteFile, '--task', 't1'])).ended;
    expect(shown.code).toBe(0);
    expect(shown.out).toContain('question 1');
    const markdown = await (await start(['show', suiteFile, '--markdown'])).ended;
    expect(markdown.out).toContain('&lt;b');
  }, 60_000);
});

describe('from a suite to a policy', () => {
  let bundles: TestBundles;
  beforeAll(async () => {
    await requireCompiler();
    bundles = await openTestBundles();
  }, 600_000);
  afterAll(() => bundles.remove());

  test('what is incomplete, changed or too little is not published', async () => {
    const policies = join(folder, 'none');
    const publish = async (...more: string[]) =>
      (await start(['publish', suiteFile, '--policies', policies, ...more])).ended;
    expect((await publish()).err).toContain('there are no results');
    await evaluate('--limit', '5');
    expect((await publish()).err).toContain('not complete');
    await evaluate();
    expect((await publish('--min-samples', '41')).err).toContain('at least 41');
    await writeSuite({ graders: [{ kind: 'exact', expected: 'A' }] });
    expect((await publish()).err).toContain('another version');
  }, 60_000);

  test('published quality decides which model "auto" is, once built and rolled out', async () => {
    expect((await evaluate()).code).toBe(0);
    const policies = join(folder, 'policies');
    await cp(join(ROOT, 'policies'), policies, { recursive: true });
    const kept = { open: { 'gpt-6-sol': { ...MEASURED, quality: 0.9 } } };
    await writeFile(join(policies, 'quality', 'data.yaml'), JSON.stringify(kept));
    const { code, out, err } = await (
      await start(['publish', suiteFile, '--policies', policies, '--min-samples', '40', '--valid-for', '365d'])
    ).ended;
    expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('+ closed:');
    expect(out).toContain('./aegis check');
    const text = await readFile(join(policies, 'quality', 'data.yaml'), 'utf8');
    expect(text).toMatch(/^# What evaluations measured/);
    const quality = parse(text) as Quality;
    expect(quality.open).toEqual(kept.open);
    expect(quality.closed?.['gpt-5.4-nano']).toMatchObject({ quality: 0.5, samples: 40, suite: 'unit' });
    const checked = spawn(join(ROOT, 'aegis'), ['check', policies, '--json'], { cwd: folder });
    let findings = '';
    checked.stdout.on('data', (chunk) => {
      findings += chunk;
    });
    await once(checked, 'close');
    expect(
      (JSON.parse(findings) as { findings: { level: string }[] }).findings.filter(({ level }) => level === 'error'),
    ).toEqual([]);
    const routing = (data: string): string => data.replace(/min_samples: \d+/, 'min_samples: 40');
    await bundles.rollOut({ 'quality/data.yaml': () => text, 'routing/data.yaml': routing });
    const measured = await openTestGateway({ config: bundles.config });
    try {
      measured.openai.play = play;
      measured.anthropic.play = play;
      const question = { role: 'user', content: 'Which is a prime?\nA) 4\nB) 5\nC) 6\nD) 8' };
      const auto = async (from: TestGateway) => {
        const answer = await from.chat({ model: 'auto', max_tokens: 5, messages: [question] }, { as: 'researcher' });
        await answer.arrayBuffer();
        return answer.headers.get('x-aegis-model');
      };
      // The catalogue's order has the one first that was measured to know half of the answers.
      expect(await auto(gateway)).toBe('gpt-5.4-nano');
      expect(await auto(measured)).toBe('claude-haiku-5-5');
    } finally {
      await measured.close();
    }
  }, 300_000);
});

describe('tasks drawn from the audit log', () => {
  let bundles: TestBundles;
  beforeAll(async () => {
    await requireCompiler();
    bundles = await openTestBundles();
    await bundles.rollOut();
  }, 600_000);
  afterAll(() => bundles.remove());

  test('are requests as they left, of those who agreed, and stay the same when the run goes on', async () => {
    const headers = { 'x-aegis-use-case': `recorded-${round}` };
    const ask = async (content: string, more: object = {}): Promise<void> => {
      const answer = await gateway.chat({ max_tokens: 5, messages: [{ role: 'user', content }], ...more }, { headers });
      await answer.arrayBuffer();
    };
    await ask('This is question 2. Write to ada@example.org.');
    await ask('This is question 4.', { tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] });
    const messages = [{ role: 'user', content: 'This is question 6.' }];
    await (await gateway.messages({ max_tokens: 5, system: 'Be brief.', messages }, { headers })).arrayBuffer();
    await until(async () =>
      (await gateway.outcomes()).filter(({ purpose }) => purpose?.use_case === headers['x-aegis-use-case']).length === 3
        ? true
        : undefined,
    );
    const drawn = await drawRecorded([gateway.home], {
      organizations: new Set(),
      useCase: headers['x-aegis-use-case'],
      sinceMs: 0,
      untilMs: Date.now() + 1000,
      mirrored: false,
    });
    expect(drawn.tasks).toEqual([]);
    expect([...drawn.passedOver]).toEqual([['of an organisation without `evaluation: true`', 3]]);

    await writeSuite({
      dataset: { audit: { org: 'demo-university', use_case: headers['x-aegis-use-case'], since: '1d' } },
      prompt: undefined,
      models: ['gpt-5.4-nano'],
      graders: [{ kind: 'contains', expected: '{{answer}}' }],
    });
    gateway.openai.requests.length = 0;
    const args = ['--home', gateway.home, '--bundle', join(bundles.folder, 'test.tar.gz')];
    const { code, err } = await evaluate(...args);
    expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
    const { items: tasks, notes, models } = await resultsIn();
    expect(tasks).toHaveLength(2);
    expect(tasks[0]?.prompt).not.toContain('ada@example.org');
    expect(tasks[0]?.prompt).toContain('This is question 2. Write to ');
    expect(tasks[1]?.prompt).toBe('system: Be brief.\n\nuser: This is question 6.');
    expect(models[0]?.quality?.estimate).toBe(1);
    expect(notes).toContain('1 recorded request was passed over: tools.');
    // Prompts and answers of people: for the owner alone.
    const kept = join(folder, String(round), 'results', 'unit');
    const modeOf = async (name: string): Promise<number> => (await stat(join(kept, name))).mode & 0o777;
    expect(await modeOf('.')).toBe(0o700);
    for (const name of ['tasks.jsonl', 'journal.jsonl', 'results.json', 'report.md', 'report.html']) {
      expect([name, await modeOf(name)]).toEqual([name, 0o600]);
    }
    await ask('This is question 8.');
    expect((await evaluate(...args)).code).toBe(0);
    expect((await resultsIn()).items).toHaveLength(2);
  }, 120_000);
});

describe('docs/evaluation.md', () => {
  test('has commands that do what it says', async () => {
    const document = await readFile(join(ROOT, 'docs', 'evaluation.md'), 'utf8');
    const commands = [...document.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
      block.trim().split('\n'),
    );
    expect(commands.length).toBeGreaterThanOrEqual(5);
    const place = join(folder, 'document');
    for (const name of ['evaluations', 'policies']) {
      const filter = (path: string): boolean => !path.includes('results');
      await cp(join(ROOT, name), join(place, name), { recursive: true, filter });
    }
    const upstreams = ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({ name, kind: 'sandbox' as const }));
    const sandbox = await openTestGateway({ upstreams });
    try {
      const env = { AEGIS_API_KEY: await sandbox.keyFor({ ...PEOPLE.teacher, team: 'lms' }), AEGIS_URL: sandbox.url };
      for (const command of commands) {
        const [program, group, ...args] = command.split(' ');
        expect([program, group]).toEqual(['./aegis', 'eval']);
        const placed = args.map((arg) => (arg.startsWith('evaluations/') ? join(place, arg) : arg));
        if (placed[0] === 'publish') placed.push('--policies', join(place, 'policies'));
        const { code, err } = await (await start(placed, env)).ended;
        expect({ command, code, err: code === 0 ? '' : err }).toEqual({ command, code: 0, err: '' });
      }
    } finally {
      await sandbox.close();
    }
    const quality = parse(await readFile(join(place, 'policies', 'quality', 'data.yaml'), 'utf8')) as Quality;
    expect(quality.closed?.['gpt-6-sol']?.samples).toBeGreaterThan(50);
    expect(await readFile(join(place, 'evaluations', 'results', 'lms-quiz', 'report.html'), 'utf8')).toContain('<svg');
  }, 120_000);
});

const MEASURED = {
  quality: 0.9,
  low: 0.85,
  high: 0.95,
  samples: 200,
  usd_per_1000_tasks: 4,
  measured: '2026-11-01',
  valid_until: '2027-11-01',
  suite: 'other',
  suite_sha256: 'a'.repeat(64),
};

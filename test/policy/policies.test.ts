import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { buildBundle } from '../../gateway/policy/build.ts';
import { CHECKOUT, type Compiler, requireCompiler } from '../../gateway/policy/compiler.ts';
import { createPolicy, type MeteredPolicy } from '../../gateway/policy/engine.ts';
import { readSchema, validator } from '../../gateway/schema.ts';
import type { Input } from '../../gateway/types.gen.ts';
import { measuredData } from '../support/measured-data.ts';
import { request, student } from '../support/reference-input.ts';

const run = promisify(execFile);
let compiler: Compiler;
let policy: MeteredPolicy;
/** Of the policies with measurements, experiments and mirrors. */
let measured: MeteredPolicy;
let home: string;

beforeAll(async () => {
  compiler = await requireCompiler();
  const { bundle } = await buildBundle({ policies: join(CHECKOUT, 'policies'), sequence: 1, compiler });
  policy = await createPolicy(bundle);
  const data = measuredData(policy.data);
  measured = await createPolicy({ ...bundle, data: { ...data } });
  home = await mkdtemp(join(tmpdir(), 'aegis-measured-'));
  await cp(join(CHECKOUT, 'policies'), join(home, 'policies'), { recursive: true });
  for (const table of ['quality', 'experiments', 'mirrors'] as const) {
    await writeFile(join(home, 'policies', table, 'data.yaml'), JSON.stringify(data[table]));
  }
}, 300_000);
afterAll(() => rm(home, { recursive: true, force: true }));

/** The policies as they are, and with data where they have none; and where their sources are. */
const VARIANTS: [string, () => MeteredPolicy, () => string][] = [
  ['as the policies are', () => policy, () => join(CHECKOUT, 'policies')],
  ['with measurements, experiments and mirrors', () => measured, () => join(home, 'policies')],
];

const isInput = validator<Input>(readSchema('input'));

const ENDPOINTS: readonly Input['request']['endpoint'][] = [
  'chat.completions',
  'chat.completions',
  'responses',
  'messages',
  'messages.count_tokens',
  'embeddings',
  'completions',
  'models',
  'feedback',
  'admin.upstreams',
  'admin.usage',
];
/** Endpoints without output tokens, and those that never go to another model than the named one. */
const SILENT: ReadonlySet<string> = new Set(['embeddings', 'messages.count_tokens']);
const MODELLESS: ReadonlySet<string> = new Set(['models', 'feedback']);
const NAMED_ONLY: ReadonlySet<string> = new Set(['embeddings', 'completions']);

/** The first of the values half of the time, so that not every input is refused for something. */
const mostly = <T>(first: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof(fc.constant(first), fc.constantFrom(first, ...others));

/** Inputs that mix what the data know with what they do not: every one is valid, most are refused. */
const anyInput: fc.Arbitrary<Input> = fc
  .record({
    org: mostly('demo-university', 'demo-college', 'nowhere', ''),
    team: mostly('cs101', 'nlp-lab', 'hist110', 'lms', 'year-12', 'nobody', ''),
    user: fc.constantFrom('sam', ''),
    endUser: mostly(
      { name: '', source: 'none' as const },
      { name: 'zoe', source: 'body' as const },
      { name: 'zoe', source: 'header' as const },
    ),
    roles: fc.subarray(['student', 'teacher', 'researcher', 'service', 'admin', 'platform-admin', 'emperor']),
    limited: fc.oneof(fc.constant<string[]>([]), fc.subarray(['quiz', 'tutoring', 'research'], { maxLength: 2 })),
    workflow: mostly('', 'tutoring', 'quiz', 'grading', 'research', 'essay-feedback', 'mining'),
    tags: mostly<Record<string, string>>({}, { institution: 'MIT', course: 'CS101' }, { institution: 'X' }),
    model: fc.constantFrom(
      'auto',
      'auto',
      'auto',
      'gpt-6-astra',
      'gpt-4.1-nano',
      'campus-8b',
      'text-embedding-3-small',
      'claude-sonnet-4-5',
      'x"\\é',
      '',
    ),
    endpoint: fc.constantFrom(...ENDPOINTS),
    time: fc.constantFrom('2026-11-24T09:00:00.000Z', '2026-12-24T23:59:59.999Z'),
    wish: mostly(null, 0, 1, 700, 1_000_000_000),
    tools: fc.subarray(['send_email', 'web_browser', 'code_execution', 'calculator']),
    tokens: mostly(90, 0, 40_000, 300_000, 5_000_000),
    parts: fc.oneof(fc.constant<string[]>([]), fc.subarray(['image', 'document', 'audio', 'unknown'])),
    pii: mostly<Record<string, number>>({}, { email: 3 }, { card: 1, email: 1 }),
    secrets: fc.constantFrom<Record<string, number>[]>({}, { aws: 1 }),
    choice: fc.boolean(),
    yesNo: fc.boolean(),
    verbs: fc.constantFrom(0, 1, 4),
    complexity: fc.constantFrom(0, 0.1, 0.32, 0.6, 0.85, 1),
    spent: fc.constantFrom(0, 0.79, 0.8, 1.2),
    bucket: fc.integer({ min: 0, max: 9999 }),
    stopped: mostly<Input['experiments']>({}, { 'a-tutor': { stopped: true }, 'b-frontier': { stopped: false } }),
    states: fc.record({
      openai: fc.constantFrom('up' as const, 'degraded' as const, 'down' as const, null),
      anthropic: fc.constantFrom('up' as const, 'down' as const, null),
      mistral: fc.constantFrom('up' as const, 'down' as const, null),
      local: fc.constantFrom('up' as const, 'down' as const, null),
    }),
  })
  .map((draw) => {
    const input = request({
      request: {
        endpoint: draw.endpoint,
        dialect: draw.endpoint.startsWith('messages') ? 'anthropic' : 'openai',
        model: draw.model,
        time: draw.time,
        max_output_tokens: draw.wish,
        tools: draw.tools,
        end_user: draw.endUser,
      },
      caller: { org: draw.org, team: draw.team, user: draw.user, roles: draw.roles, workflows: draw.limited },
      purpose: { workflow: draw.workflow },
      content: {
        tokens_estimate: draw.tokens,
        modalities: ['text', ...draw.parts.filter((kind) => kind !== 'unknown')],
        uninspected: draw.parts.map((kind) => ({ kind, bytes: 100 })),
        signals: { multiple_choice: draw.choice, yes_no: draw.yesNo, instruction_verbs: draw.verbs },
        complexity: draw.complexity,
      },
      spend: student.spend.map((entry) => ({ ...entry, micro_usd: Math.floor(entry.cap_micro_usd * draw.spent) })),
    });
    input.upstreams = structuredClone(input.upstreams); // shared with the reference input
    input.bucket = { request: draw.bucket, user: draw.bucket, session: draw.bucket, org: draw.bucket };
    input.experiments = draw.stopped;
    input.purpose.tags = draw.tags;
    input.content.pii = draw.pii;
    input.content.secrets = draw.secrets;
    for (const [name, state] of Object.entries(draw.states)) {
      const upstream = input.upstreams[name];
      if (state === null || !upstream) delete input.upstreams[name];
      else input.upstreams[name] = { ...upstream, state };
    }
    return input;
  });

describe.each(VARIANTS)('any valid input, %s,', (_, decides, sources) => {
  test('gets a well-formed decision, and its rules are explained', () => {
    const policy = decides();
    const table = policy.manifest.metadata.aegis.rules;
    const fired = new Set<string>();
    let allowed = 0;
    let decided = 0;
    fc.assert(
      fc.property(anyInput, (input) => {
        expect(isInput(input)).toBe(true);
        const decision = policy.decide(input); // throws when it is not of schemas/decision.json
        decided++;
        if (decision.allow) allowed++;
        for (const rule of decision.rules) fired.add(rule);
        expect(decision.allow).toBe(decision.deny.length === 0);
        expect(decision.deny.every(({ rule }) => decision.rules.includes(rule))).toBe(true);
        expect(decision.rules.filter((id) => table[id] === undefined)).toEqual([]);
        expect(decision.rules).toEqual([...decision.rules].sort());
        if (decision.allow && !MODELLESS.has(input.request.endpoint)) {
          expect(decision.route.candidates.length).toBeGreaterThan(0);
          const cap = decision.parameters.max_output_tokens;
          if (SILENT.has(input.request.endpoint)) expect(cap).toBeUndefined();
          else expect(cap).toBeGreaterThan(0);
          if (input.request.model === 'auto') expect(NAMED_ONLY.has(input.request.endpoint)).toBe(false);
          const { mirror } = decision.route;
          if (decision.route.experiment !== null) expect(input.request.model).toBe('auto');
          if (mirror !== null) expect(mirror.model).not.toBe(decision.route.candidates[0]?.model);
          for (const { model, upstream } of [...decision.route.candidates, ...(mirror ? [mirror] : [])]) {
            expect(input.upstreams[upstream]?.endpoints).toContain(input.request.endpoint);
            if (NAMED_ONLY.has(input.request.endpoint)) expect([model, mirror]).toEqual([input.request.model, null]);
            else expect(model).not.toMatch(/embed/);
          }
        }
        const acts = decision.allow && input.request.end_user.name !== '' && input.caller.roles.includes('service');
        expect(decision.acting_for).toBe(acts ? 'zoe' : null);
        if (decision.allow && input.request.end_user.source === 'header') expect(acts).toBe(true);
        if (!decision.allow) expect(decision.route.candidates).toEqual([]);
        const { candidates, mirror } = decision.route;
        const places = mirror === null ? candidates : [...candidates, mirror];
        const away = places.some(({ upstream }) => input.upstreams[upstream]?.third_party);
        const tokenized = decision.redact.filter(({ action }) => action === 'tokenize');
        if (away) expect(tokenized).toHaveLength(5);
      }),
      { numRuns: 2500 },
    );
    // The generator must reach both.
    expect(allowed).toBeGreaterThan(40);
    expect(decided - allowed).toBeGreaterThan(20);
    if (policy === measured) {
      // Always the same inputs: some are rare.
      for (const input of fc.sample(anyInput, { numRuns: 4000, seed: 7 })) {
        for (const rule of policy.decide(input).rules) fired.add(rule);
      }
      expect([...fired]).toEqual(
        expect.arrayContaining(['experiments.assigned', 'mirrors.mirrored', 'routing.measured']),
      );
    }
  });

  test('is explained as it was decided: the candidates in order, a reason for each model, a need for each refusal', () => {
    const policy = decides();
    const reasons = new Set<string>();
    fc.assert(
      fc.property(anyInput, (input) => {
        const decision = policy.decide(input);
        const explained = policy.explain?.(input); // throws when it is not of schemas/explanation.json
        const tried = explained?.considered.filter(({ verdict }) => verdict !== 'lost');
        expect(tried?.map(({ model, upstream }) => ({ model, upstream }))).toEqual(decision.route.candidates);
        expect(tried?.map(({ verdict }) => verdict)).toEqual(tried?.map((_, n) => (n === 0 ? 'chosen' : 'fallback')));
        expect(explained?.considered.slice(0, tried?.length)).toEqual(tried);
        const pairs = explained?.considered.map(({ model, upstream }) => `${model} ${upstream}`);
        expect(new Set(pairs).size).toBe(pairs?.length);
        const asked = new Set(explained?.needed.map(({ rule }) => rule));
        expect(asked).toEqual(new Set(decision.allow ? [] : decision.rules));
        expect(JSON.stringify(explained)).not.toContain('<undefined>');
        for (const { verdict, why } of explained?.considered ?? []) {
          if (verdict === 'lost') for (const text of why) reasons.add(text);
        }
      }),
      { numRuns: 1500 },
    );
    // The generator must reach most of what can be said.
    expect(reasons.size).toBeGreaterThan(40);
  });

  test('is decided by WASM as by the compiler’s own interpreter', async () => {
    const policy = decides();
    const folder = await mkdtemp(join(tmpdir(), 'aegis-differential-'));
    try {
      const inputs = fc.sample(anyInput, 200);
      const files = inputs.map((_, index) => join(folder, `${index}.json`));
      for (const [index, input] of inputs.entries()) await writeFile(files[index] as string, JSON.stringify(input));
      for (const [entrypoint, ours] of [
        ['aegis/decision', (input: Input): unknown => policy.decide(input)],
        ['aegis/models', (input: Input): unknown => policy.models(input)],
        ['aegis/admin', (input: Input): unknown => policy.admin(input)],
        ['aegis/explain', (input: Input): unknown => policy.explain?.(input)],
      ] as const) {
        const { stdout } = await run(
          compiler.path,
          ['exec', '--decision', entrypoint, '--fail', '-b', sources(), ...files],
          { maxBuffer: 1 << 26 },
        );
        const { result } = JSON.parse(stdout) as { result: { path: string; result: unknown }[] };
        expect(result).toHaveLength(inputs.length);
        const theirs = new Map(result.map((entry) => [entry.path, entry.result]));
        for (const [index, input] of inputs.entries()) {
          expect({ input, decided: theirs.get(files[index] as string) }).toEqual({ input, decided: ours(input) });
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }, 120_000);
});

describe('the reference input', () => {
  test('is decided within the budget of steps', () => {
    policy.decide(student);
    // The same on every machine, unlike a time: about 37 µs on the reference machine.
    expect(policy.fuelUsed).toBeGreaterThan(0);
    expect(policy.fuelUsed).toBeLessThan(FUEL_BUDGET);
  });
});

/** Measured 20,289; a rule or two more fit. */
const FUEL_BUDGET = 22_000;

import { readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { explain } from '../../../gateway/cli/explain.ts';
import { explainText } from '../../../gateway/cli/explain-text.ts';
import { traceDecision } from '../../../gateway/cli/explain-trace.ts';
import { readBundle } from '../../../gateway/policy/bundle.ts';
import { createBundleStore } from '../../../gateway/policy/bundle-store.ts';
import { ruleLinkOf } from '../../../gateway/policy/rule-link.ts';
import type { AuditIntent, Decision, Input, Manifest } from '../../../gateway/types.gen.ts';
import { contentOf, intentOf, outcomeOf, withHome } from '../../support/audit.ts';
import { allowAll, compile, signFiles, testKey } from '../../support/policy-fixture.ts';

const INPUT: Input = {
  request: {
    id: 'req_1',
    time: '2026-11-24T10:00:00.000Z',
    endpoint: 'chat.completions',
    dialect: 'openai',
    model: 'auto',
    stream: true,
    max_output_tokens: 500,
    temperature: null,
    tools: ['search'],
    response_format: null,
    source_ip: '10.0.0.1',
    headers: {},
    end_user: { name: '', source: 'none' },
  },
  caller: {
    kind: 'key',
    id: 'key_1',
    org: 'uni',
    team: 'cs',
    user: 'sam',
    roles: ['student'],
    groups: [],
    workflows: [],
    scopes: [],
    claims: {},
  },
  purpose: { workflow: 'quiz', use_case: '', session: '', tags: { course: 'CS101' } },
  content: {
    messages: 1,
    bytes: 1200,
    tokens_estimate: 300,
    modalities: ['text'],
    languages: ['Latn'],
    pii: { email: 2 },
    secrets: {},
    signals: {
      multiple_choice: true,
      yes_no: false,
      question_marks: 1,
      code: false,
      math: false,
      instruction_verbs: 0,
      turns: 1,
      words: 200,
      numbers: 0,
      long_words: 3,
      negated: false,
    },
    complexity: 0.1,
    uninspected: [],
  },
  spend: [],
  upstreams: {},
  bucket: { request: 1, user: 2, session: 3, org: 4 },
  experiments: {},
};

const decisionOf = (over: Partial<Decision>): Decision => ({
  allow: true,
  deny: [],
  route: {
    candidates: [
      { model: 'gpt-5.4-nano', upstream: 'openai' },
      { model: 'campus-8b', upstream: 'local' },
    ],
    reason: 'closed task: cheap',
    experiment: null,
    mirror: null,
  },
  parameters: { max_output_tokens: 400 },
  tools: { remove: [] },
  redact: [{ entity: 'email', action: 'tokenize', in: ['request'], restore: ['text'] }],
  rate: { tier: 'standard', limits: [{ scope: 'user', subject: 'uni/sam', requests_per_minute: 120, concurrent: 4 }] },
  budgets: [
    {
      scope: 'team',
      subject: 'uni/cs',
      period: 'month',
      timezone: 'Europe/Brussels',
      micro_usd: 5_000_000_000,
      on_exceed: 'deny',
    },
  ],
  audit: { content: 'redacted', retention_days: 90 },
  cache: null,
  rules: [],
  ...over,
});

/** A home that knows the repository's default bundle, and the rules of that bundle. */
const withBundle = async (
  home: string,
): Promise<{
  ref: { digest: string; revision: string };
  rules: [string, { title: string; file: string; line: number }][];
}> => {
  const packed = await readFile(new URL('../../../bundles/default.tar.gz', import.meta.url));
  const { digest, manifest } = await readBundle(packed);
  await createBundleStore(home).keep(packed, { sequence: manifest.metadata.aegis.sequence, digest });
  return { ref: { digest, revision: manifest.revision }, rules: Object.entries(manifest.metadata.aegis.rules) };
};

const asRecord = (document: object): AuditIntent['input'] => document as AuditIntent['input'];

describe('aegis explain', () => {
  test('an answered decision is told from the verdict to the time of each stage, in 100 columns', () =>
    withHome(async (home, open) => {
      const { ref, rules } = await withBundle(home);
      const [fired, other] = rules as [(typeof rules)[number], (typeof rules)[number]];
      const decision = decisionOf({ rules: [fired[0], other[0]] });
      const log = await open();
      await log.append(
        {
          ...intentOf('dec_1'),
          input: asRecord(INPUT),
          decision: asRecord(decision),
          bundle: ref,
          masked: { email: 2 },
          reserved_micro_usd: 1_234_567,
        },
        contentOf('{"prompt":"masked"}'),
      );
      const attempts = [
        { model: 'gpt-5.4-nano', upstream: 'openai', status: 503, error: 'overloaded', ms: 12.5 },
        { model: 'campus-8b', upstream: 'local', status: 200, error: null, ms: 80 },
      ];
      const usage = {
        input: 1000,
        cache_read: 24,
        cache_write: 0,
        cache_write_1h: 0,
        output: 7,
        reasoning: 0,
        source: 'provider',
      } as const;
      await log.append(
        outcomeOf('dec_1', {
          model: 'campus-8b',
          upstream: 'local',
          attempts,
          usage,
          cost: { micro_usd: 938, price_version: ref.revision },
          stages_us: { receive: 100, forward: 80_000 },
        }),
      );
      const explanation = await explain([home], 'dec_1', { content: true });
      const text = explainText(explanation);
      expect(text).toMatch(/^ALLOWED, status 200, campus-8b by local\n/);
      for (const [, { title, file, line }] of [fired, other]) {
        expect(text).toContain(`${file}:${line}`);
        expect(text).toContain(title);
      }
      for (const part of [
        'user sam, team cs, org uni',
        'workflow quiz; tags course=CS101',
        'gpt-5.4-nano by openai, status 503, overloaded, 12.5 ms',
        '2 email',
        '$5,000.00 a month',
        '1,000 input, 24 cache read, 7 output (counted by the provider)',
        '$0.000938',
        '$1.234567 at most',
        'redacted content for 90 days',
        '{"prompt":"masked"}',
        ref.digest,
      ]) {
        expect(text.replaceAll(/\n {10,}/g, ' ')).toContain(part);
      }
      expect(text).toMatch(/forward +80\.0 ms {2}#{40}\n/);
      expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
    }));

  test('a denial shows code, message, hint and rule, from the outcome alone', () =>
    withHome(async (home, open) => {
      const deny = [
        {
          code: 'unknown_workflow',
          message: 'The workflow "x" is not known.',
          hint: 'Try quiz.',
          rule: 'access.unknown_workflow',
        },
      ];
      const log = await open();
      await log.append(
        outcomeOf('dec_2', {
          outcome: 'denied',
          status: 403,
          error: 'policy_denied',
          model: null,
          upstream: null,
          input: asRecord(INPUT),
          decision: asRecord(decisionOf({ allow: false, deny, rules: ['access.unknown_workflow'] })),
        }),
      );
      const explanation = await explain([home], 'dec_2');
      const text = explainText(explanation);
      expect(text).toMatch(/^DENIED by policy, status 403, policy_denied\n/);
      expect(text).toMatch(
        /why: unknown_workflow\n +message +The workflow "x" is not known\.\n +hint +Try quiz\.\n +rule +access\.unknown_workflow/,
      );
      expect(explanation.notes[0]).toMatch(/does not have the bundle/);
    }));

  test(
    'a bundle that is older than aegis/explain says so, and the rest is told',
    () =>
      withHome(async (home, open) => {
        const key = testKey();
        const old = await compile(allowAll());
        const packed = await signFiles(old.files, key.privateKey);
        await createBundleStore(home).keep(packed, { sequence: 1, digest: old.digest });
        const ref = { digest: old.digest, revision: old.manifest.revision };
        const log = await open();
        await log.append({
          ...intentOf('dec_5'),
          input: asRecord(INPUT),
          decision: asRecord(decisionOf({ rules: ['aegis.everything'] })),
          bundle: ref,
        });
        const explanation = await explain([home], 'dec_5');
        expect(explanation.notes).toEqual([expect.stringContaining('older than aegis/explain')]);
        expect(explanation.policy).toBeUndefined();
        expect(explanation.rules).toMatchObject([{ id: 'aegis.everything', title: 'Everything' }]);
        expect(explainText(explanation)).not.toContain('models considered');
      }),
    120_000,
  );

  test(
    'a rule has the address that the bundle names, with the commit that was signed',
    () =>
      withHome(async (home, open) => {
        const key = testKey();
        const built = await compile(allowAll());
        const manifest = JSON.parse(built.files.get('.manifest')?.toString('utf8') ?? '') as Manifest;
        manifest.metadata.aegis.rule_link = 'https://git.example.org/policies/blob/{commit}/{file}#L{line}';
        const files = new Map([...built.files, ['.manifest', Buffer.from(JSON.stringify(manifest))]]);
        for (const [claims, link] of [
          [{ commit: '0123abcd' }, 'https://git.example.org/policies/blob/0123abcd/policies/aegis/decision.rego#L7'],
          [{}, undefined],
          [{ commit: '../../evil?' }, undefined],
        ] as const) {
          const bundle = await readBundle(await signFiles(files, key.privateKey, claims));
          const [rule] = Object.values(bundle.manifest.metadata.aegis.rules);
          expect(ruleLinkOf(bundle)(rule?.file ?? '', rule?.line ?? 0)).toBe(link);
        }
        const packed = await signFiles(files, key.privateKey, { commit: '0123abcd' });
        const { digest, manifest: kept } = await readBundle(packed);
        await createBundleStore(home).keep(packed, { sequence: 1, digest });
        const log = await open();
        const decision = asRecord(decisionOf({ rules: ['aegis.everything'] }));
        const bundle = { digest, revision: kept.revision };
        await log.append({ ...intentOf('dec_6'), input: asRecord(INPUT), decision, bundle });
        expect(explainText(await explain([home], 'dec_6'))).toContain(
          '\n    https://git.example.org/policies/blob/0123abcd/',
        );
      }),
    120_000,
  );

  test('a trace says how to get the compiler, and when the interpreter decides otherwise than was recorded', async () => {
    await withHome(async (home, open) => {
      const { ref: bundle } = await withBundle(home);
      const log = await open();
      // A decision that no policy made of this input.
      const decision = asRecord(decisionOf({}));
      await log.append({ ...intentOf('dec_7'), input: asRecord(INPUT), decision, bundle });
      const explained = await explain([home], 'dec_7');
      const none = await traceDecision(explained, [home], 'fails', async () => undefined);
      expect(none).toEqual({
        lines: [],
        notes: [expect.stringMatching(/needs the policy compiler, opa \d/)],
        isSame: null,
      });
      const wrong = await traceDecision(explained, [home], 'fails');
      expect(wrong.isSame).toBe(false);
      expect(wrong.notes).toContainEqual(
        expect.stringContaining('the interpreter decides otherwise than was recorded'),
      );
    });
  }, 120_000);

  test('a decision without an outcome says so, and an unknown one is an error', () =>
    withHome(async (home, open) => {
      const log = await open();
      await log.append({ ...intentOf('dec_3'), input: asRecord(INPUT), decision: asRecord(decisionOf({})) });
      expect(explainText(await explain([home], 'dec_3'))).toMatch(/^ALLOWED, and no outcome yet/);
      await expect(explain([home], 'dec_4')).rejects.toThrow(/has no decision dec_4/);
    }));
});

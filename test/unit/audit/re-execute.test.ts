import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { auditVerifyCommand } from '../../../gateway/cli/audit-verify.ts';
import { bundleFilesIn, reExecute } from '../../../gateway/cli/re-execute.ts';
import { type Bundle, readBundle } from '../../../gateway/policy/bundle.ts';
import { createBundleStore } from '../../../gateway/policy/bundle-store.ts';
import { createPolicy, type MeteredPolicy } from '../../../gateway/policy/engine.ts';
import type { AuditIntent, AuditOutcome, Decision, Input } from '../../../gateway/types.gen.ts';
import { intentOf, outcomeOf, withHome } from '../../support/audit.ts';
import { demoInputs } from '../../support/demo-inputs.ts';
import { ROOT } from '../../support/gateway.ts';
import { runCommand } from '../../support/run-command.ts';

let packed: Buffer;
let bundle: Bundle;
let policy: MeteredPolicy;
beforeAll(async () => {
  packed = await readFile(join(ROOT, 'bundles/default.tar.gz'));
  bundle = await readBundle(packed);
  policy = await createPolicy(bundle);
});

const keep = (home: string): Promise<void> =>
  createBundleStore(home).keep(packed, { sequence: bundle.manifest.metadata.aegis.sequence, digest: bundle.digest });

const asInput = (input: object): AuditIntent['input'] => input as AuditIntent['input'];
const asDecision = (decision: object): AuditIntent['decision'] => decision as AuditIntent['decision'];
const NO_FILES = new Map<string, string>();

/** Variations of the demo's inputs, all different. */
const inputAt = (n: number): Input => {
  const inputs = Object.values(demoInputs());
  const input = inputs[n % inputs.length] as Input;
  return {
    ...input,
    request: { ...input.request, id: `req_${n}`, max_output_tokens: n % 7 === 0 ? null : 1 + (n % 3000) },
    content: { ...input.content, tokens_estimate: n * 37, complexity: (n % 100) / 100 },
    bucket: { ...input.bucket, request: n % 10_000 },
  };
};

/** The record of a decision: an intent when it allows, else an outcome that holds it. */
const recordOf = (n: number, decision: Decision = policy.decide(inputAt(n))): AuditIntent | AuditOutcome => {
  const id = `dec_${String(n).padStart(6, '0')}`;
  const documents = { input: asInput(inputAt(n)), decision: asDecision(decision), bundle: policy.ref };
  if (decision.allow) return { ...intentOf(id), ...documents };
  return outcomeOf(id, { ...documents, outcome: 'denied', status: 403, error: 'policy_denied' });
};

describe('deciding a log again', () => {
  test(
    '10,000 stored decisions come out equal to the last byte',
    () =>
      withHome(async (home, open) => {
        await keep(home);
        const log = await open();
        const written: Promise<unknown>[] = [];
        for (let n = 0; n < 10_000; n++) {
          written.push(log.append(recordOf(n)));
          if (n % 500 === 499) await Promise.all(written.splice(0));
        }
        expect(await reExecute(home, { homes: [home], files: NO_FILES })).toEqual({
          equal: 10_000,
          different: 0,
          differences: [],
          notReExecuted: {},
        });
      }),
    120_000,
  );

  test('a decision that was made up is found, with the place where it differs', () =>
    withHome(async (home, open) => {
      await keep(home);
      const log = await open();
      for (let n = 0; n < 20; n++) await log.append(recordOf(n));
      const decision = policy.decide(inputAt(0));
      expect(decision.allow).toBe(true);
      const rate = { ...decision.rate, tier: 'premium' };
      await log.append({ ...recordOf(21, { ...decision, rate }), input: asInput(inputAt(0)) } as AuditIntent);
      const found = await reExecute(home, { homes: [home], files: NO_FILES });
      expect(found).toMatchObject({ equal: 20, different: 1, notReExecuted: {} });
      expect(found.differences).toEqual([
        { id: 'dec_000021', difference: 'rate.tier: recorded "premium", now "standard"' },
      ]);
    }));

  test('a policy error must fail again, and one where the policy decides is a difference', () =>
    withHome(async (home, open) => {
      await keep(home);
      const log = await open();
      const failure = (id: string, input: object): AuditOutcome => ({
        ...outcomeOf(id, { outcome: 'failed', status: 503, error: 'policy_unavailable', bundle: policy.ref }),
        id: null,
        input: asInput(input),
      });
      // Half of a character: the policy cannot read it. Describe lets none through, so the input is made here.
      const researcher = inputAt(3);
      const failing = { ...researcher, purpose: { ...researcher.purpose, tags: { course: '\ud800' } } };
      expect(() => policy.decide(failing)).toThrow();
      await log.append(failure('c', failing));
      await log.append(failure('a', inputAt(0)));
      await log.append({ ...failure('b', inputAt(1)), bundle: null });
      const found = await reExecute(home, { homes: [home], files: NO_FILES });
      expect(found.equal).toBe(1);
      expect(found.differences).toEqual([
        { id: 'req_a', difference: 'no decision was recorded, a policy error, and now there is one' },
      ]);
      expect(found.notReExecuted).toEqual({ 'a policy error whose record names no bundle': 1 });
    }));

  test('what another bundle decided is not re-executed until a folder has that bundle', () =>
    withHome(async (home, open) => {
      const log = await open();
      for (let n = 0; n < 5; n++) await log.append(recordOf(n));
      const without = await reExecute(home, { homes: [home], files: NO_FILES });
      expect(without).toMatchObject({ equal: 0, different: 0 });
      expect(Object.entries(without.notReExecuted)).toEqual([[expect.stringMatching(/is not in the home/), 5]]);
      const folder = join(home, 'bundles');
      await mkdir(folder);
      await cp(join(ROOT, 'bundles/default.tar.gz'), join(folder, 'old.tar.gz'));
      const files = await bundleFilesIn(folder);
      expect(await reExecute(home, { homes: [home], files })).toMatchObject({ equal: 5, notReExecuted: {} });
    }));
});

describe('aegis audit verify --re-execute', () => {
  test(
    'says how many decisions are equal, and ends with 1 at a difference',
    () =>
      withHome(async (home, open) => {
        const verify = async (...flags: string[]): Promise<{ text: string; code: unknown }> => {
          const text = await runCommand(auditVerifyCommand(), '--home', home, '--re-execute', ...flags);
          const code = process.exitCode;
          process.exitCode = undefined;
          return { text, code };
        };
        await keep(home);
        const log = await open();
        await log.append(recordOf(0));
        const good = await verify();
        expect(good.code ?? 0).toBe(0);
        expect(good.text).toMatch(/re-decided +1 decision, equal to its record to the last byte/);
        const decision = policy.decide(inputAt(1));
        await log.append(recordOf(1, { ...decision, audit: { ...decision.audit, retention_days: 9 } }));
        const bad = await verify();
        expect(bad.code).toBe(1);
        expect(bad.text).toMatch(/^good /);
        expect(bad.text).toContain('dec_000001: audit.retention_days: recorded 9, now 90');
        expect(JSON.parse((await verify('--json')).text)).toMatchObject({
          ok: true,
          reExecution: { equal: 1, different: 1 },
        });
      }),
    60_000,
  );

  test('wants bundles only where decisions are made again', () =>
    withHome(async (home, open) => {
      await open();
      await expect(runCommand(auditVerifyCommand(), '--home', home, '--bundles', home)).rejects.toThrow(
        '--bundles goes with --re-execute',
      );
    }));
});

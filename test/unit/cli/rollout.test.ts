import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { lineDiff } from '../../../gateway/cli/line-diff.ts';
import { rolloutCommand } from '../../../gateway/cli/rollout.ts';
import { openDatabase } from '../../../gateway/store/database.ts';
import { createRolloutStore } from '../../../gateway/store/rollout-store.ts';
import { makeRolloutFolder, type RolloutFolder } from '../../support/rollout-folder.ts';
import { runCommand } from '../../support/run-command.ts';

let folder: RolloutFolder;
beforeAll(async () => {
  folder = await makeRolloutFolder();
}, 600_000);
afterAll(() => folder.remove());
beforeEach(() => folder.write(`${HEAD}stable: stable.tar.gz # since November\n`));
afterEach(() => {
  process.exitCode = 0;
});

const HEAD = '# What gateways converge on.\n\n';
const rollout = (...args: string[]): Promise<string> =>
  runCommand(rolloutCommand(), ...args, '--bundles', folder.bundles, '--home', folder.home);
const rules = async (): Promise<string> => (await folder.text()).replace(HEAD, '');
const CANDIDATE = 'candidate: next.tar.gz\n';

describe('aegis rollout', () => {
  test('brings a candidate into shadow, with its course and its guards, and keeps the comments', async () => {
    const course = ['--hold', '15m', '--next', 'canary:5,canary:25@1h,full', '--by', 'org'];
    const guards = ['--guard', 'max_cost_increase=off', '--guard', 'min_requests=50'];
    const out = await rollout('shadow', 'next.tar.gz', ...course, ...guards);
    expect(await folder.text()).toBe(`${HEAD}stable: stable.tar.gz # since November
candidate: next.tar.gz
stage: shadow
by: org
hold_s: 900
next:
  - { stage: canary, percent: 5 }
  - { stage: canary, percent: 25, hold_s: 3600 }
  - { stage: full }
guards:
  max_cost_increase: null
  min_requests: 50
`);
    expect(out).toContain('+ candidate: next.tar.gz\n+ stage: shadow\n');
    expect(out).toContain('sequence 5');
    expect(out.replaceAll('\n', ' ')).toContain('canary 5 % after 15 min, canary 25 % after 15 min, full after 1 h');
    expect(out).toMatch(/Next: commit .*rollout\.yaml/);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  test('goes on from stage to stage, and drops the steps that are behind', async () => {
    await rollout('shadow', 'next.tar.gz', '--next', 'canary:5,canary:25,full');
    await rollout('canary', '10', '--by', 'session');
    expect(await rules()).toBe(`stable: stable.tar.gz # since November
candidate: next.tar.gz
stage: canary
percent: 10
by: session
next:
  - { stage: canary, percent: 25 }
  - { stage: full }
`);
    await rollout('full');
    expect(await rules()).toBe(`stable: stable.tar.gz # since November
candidate: next.tar.gz
stage: full
by: session
`);
    const out = await rollout('promote');
    expect(await rules()).toBe('stable: next.tar.gz # since November\n');
    expect(out).toContain('next.tar.gz then serves all requests.');
  });

  test('takes a canary without a percent as 5 of a hundred, with the file in its place', async () => {
    await rollout('canary', 'next.tar.gz');
    expect(await rules()).toContain(`${CANDIDATE}stage: canary\npercent: 5\n`);
    await rollout('canary', '0.5%', 'next.tar.gz');
    expect(await rules()).toContain(`${CANDIDATE}stage: canary\npercent: 0.5\n`);
    await rollout('canary');
    expect(await rules()).toContain(`${CANDIDATE}stage: canary\npercent: 0.5\n`);
  });

  test('takes a candidate out, with all that is said of it, and keeps what is not its own', async () => {
    const before = await folder.text();
    await rollout('canary', '20', 'next.tar.gz', '--next', 'full', '--guard', 'window_s=60', '--retry');
    expect(await rules()).toContain('attempt: 2\n');
    const out = await rollout('rollback');
    expect(await folder.text()).toBe(before);
    expect(out).toContain('- candidate: next.tar.gz\n');
    expect(out).toContain('stable.tar.gz then serves all requests, as before next.tar.gz.');
  });

  test('takes a candidate out even where stable is damaged, and says what serves then', async () => {
    await rollout('canary', 'next.tar.gz');
    await folder.write((await folder.text()).replace('stable: stable.tar.gz', 'stable: gone.tar.gz'));
    expect(await rollout('rollback')).toContain('gone.tar.gz is not there');
    expect(await rules()).toBe('stable: gone.tar.gz # since November\n');
  });

  test('says how to go back further when there is no candidate', async () => {
    const out = await rollout('rollback');
    expect(out).toContain('nothing changes');
    expect(out).toContain('git restore --source COMMIT -- policies\n  ./aegis build');
  });

  test('says so when a change changes nothing, and leaves the file as it is written', async () => {
    await folder.write('stable:   stable.tar.gz\ncandidate: "next.tar.gz"\nstage: shadow\n');
    const before = await folder.text();
    expect(await rollout('shadow', 'next.tar.gz')).toContain('says so already: nothing changes');
    expect(await folder.text()).toBe(before);
  });

  test('writes nothing on a dry run', async () => {
    const before = await folder.text();
    expect(await rollout('shadow', 'next.tar.gz', '--dry-run')).toContain('Nothing was written');
    expect(await folder.text()).toBe(before);
  });

  test('tells programs the same', async () => {
    const told = JSON.parse(await rollout('canary', '7', 'next.tar.gz', '--json')) as Record<string, unknown>;
    expect(told).toMatchObject({
      changed: true,
      before: { stable: 'stable.tar.gz' },
      after: { stable: 'stable.tar.gz', candidate: 'next.tar.gz', stage: 'canary', percent: 7 },
      bundle: { sequence: 5, digest: folder.refs.next.digest, revision: folder.refs.next.revision },
      next: expect.arrayContaining([expect.stringContaining('commit')]),
    });
  });

  test('keeps guards for a candidate in another’s place, and not its plan', async () => {
    await copyFile(join(folder.bundles, 'next.tar.gz'), join(folder.bundles, 'again.tar.gz'));
    await rollout('shadow', 'next.tar.gz', '--hold', '1h', '--next', 'full', '--guard', 'min_requests=7');
    await rollout('shadow', 'again.tar.gz');
    expect(await rules()).toBe(`stable: stable.tar.gz # since November
candidate: again.tar.gz
stage: shadow
guards:
  min_requests: 7
`);
  });
});

describe('aegis rollout refuses, and writes nothing for,', () => {
  const refused = async (...args: string[]): Promise<string> => {
    const before = await folder.text();
    const error = await rollout(...args).then(
      () => new Error('it was not refused'),
      (thrown: Error) => thrown,
    );
    expect(await folder.text()).toBe(before);
    return error.message;
  };

  test('a bundle that is not there, not good, or not in the folder', async () => {
    expect(await refused('shadow', 'none.tar.gz')).toMatch(/none\.tar\.gz is not there: \.\/aegis build -o /);
    const bytes = await readFile(join(folder.bundles, 'next.tar.gz'));
    await writeFile(join(folder.bundles, 'bad.tar.gz'), bytes.subarray(0, bytes.length - 100));
    expect(await refused('shadow', 'bad.tar.gz')).toMatch(/bad\.tar\.gz: bundle: /);
    await copyFile(join(folder.bundles, 'next.tar.gz'), join(folder.bundles, '..', 'outside.tar.gz'));
    expect(await refused('shadow', join(folder.bundles, '..', 'outside.tar.gz'))).toMatch(/: cp .*outside\.tar\.gz /);
  });

  test('a bundle that is not signed by a key of the folder', async () => {
    const key = join(folder.bundles, '..', 'other.pub.pem');
    await copyFile(join('bundles', 'keys', 'demo.pub.pem'), key);
    expect(await refused('shadow', 'next.tar.gz', '--key', key)).toMatch(/key "test" is not trusted/);
  });

  test('a bundle that no gateway would go over to', async () => {
    expect(await refused('shadow', 'old.tar.gz')).toMatch(/its sequence, 3, is not above that of stable, 4/);
    expect(await refused('canary', 'stable.tar.gz')).toMatch(/stable\.tar\.gz is the stable bundle/);
    await copyFile(join(folder.bundles, 'stable.tar.gz'), join(folder.bundles, 'same.tar.gz'));
    expect(await refused('shadow', 'same.tar.gz')).toMatch(/has the same content as the stable bundle/);
  });

  test('a stage of no candidate', async () => {
    for (const command of [['shadow'], ['canary', '5'], ['full'], ['promote']]) {
      expect(await refused(...command)).toMatch(/names no candidate/);
    }
  });

  test('what is no stage, step, share, time or guard', async () => {
    expect(await refused('canary', '0')).toMatch(/share in percent/);
    expect(await refused('canary', '101', 'next.tar.gz')).toMatch(/share in percent/);
    expect(await refused('shadow', 'next.tar.gz', '--next', 'canary')).toMatch(/“canary” is no step/);
    expect(await refused('shadow', 'next.tar.gz', '--hold', 'long')).toMatch(/90s/);
    expect(await refused('shadow', 'next.tar.gz', '--by', 'team')).toMatch(/org, user, session, request/);
    expect(await refused('shadow', 'next.tar.gz', '--guard', 'max_fun=1')).toMatch(/guards are window_s, min_requests/);
    expect(await refused('shadow', 'next.tar.gz', '--guard', 'max_cost_increase=-1')).toMatch(
      /rollout\.yaml:\d+:\d+: \/guards\/max_cost_increase must be >= 0/,
    );
  });

  test('a file that is none, with the place of what is wrong', async () => {
    await folder.write('stable: stable.tar.gz\nstage: shadow\n');
    expect(await refused('rollback')).toMatch(/rollout\.yaml:1:1: \/ must have property candidate/);
    await folder.write('stable: stable.tar.gz\ncandidate: next.tar.gz\nstage: half\n');
    expect(await refused('rollback')).toMatch(/rollout\.yaml:3:8: \/stage must be equal to one of/);
    await folder.write('stable: [\n');
    expect(await refused('rollback')).toMatch(/rollout\.yaml:2:1: /);
  });
});

describe('a candidate that was rolled back', () => {
  const rollBack = async (): Promise<void> => {
    const { key } = folder.plan(parse(await folder.text()));
    const database = await openDatabase(folder.home);
    const time = '2026-11-24T12:00:00.000Z';
    const why = { time, guard: 'max_deny_rate_increase', reason: 'too many', decisionIds: [], replica: 'one' };
    await createRolloutStore(database.db).rollBack(key, why);
    await database.close();
  };

  test('is tried again as another attempt, whether it was taken out of the file or not', async () => {
    await rollout('canary', 'next.tar.gz');
    expect(await rules()).not.toContain('attempt');
    await rollBack();
    const out = await rollout('canary', 'next.tar.gz');
    expect(await rules()).toContain('attempt: 2\n');
    expect(out.replaceAll('\n', ' ')).toContain(
      'The same was rolled back at 2026-11-24T12:00:00.000Z (max_deny_rate_increase), so this is attempt 2.',
    );
    await rollBack();
    await rollout('rollback');
    await rollout('canary', 'next.tar.gz');
    expect(await rules()).toContain('attempt: 3\n');
  });
});

describe('the difference of two texts', () => {
  test('shows what changed, with two lines around it', () => {
    const before = 'a\nb\nc\nd\ne\nf\ng\nh\ni\n';
    const after = 'a\nb\nc\nD\ne\nf\ng\nh\ni\nj\n';
    expect(lineDiff(before, after)).toBe('  b\n  c\n- d\n+ D\n  e\n  f\n  …\n  h\n  i\n+ j');
    expect(lineDiff(before, before)).toBe('');
    expect(lineDiff('', 'a\n')).toBe('+ a');
  });
});

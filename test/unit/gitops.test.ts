import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { CHECKOUT, requireCompiler } from '../../gateway/policy/compiler.ts';
import { allowAll, withFolder, writeFiles } from '../support/policy-fixture.ts';

const run = promisify(execFile);
const WORKFLOW = '.github/workflows/policies.yml';
const GUIDE = 'docs/gitops.md';

interface Step {
  uses?: string;
  run?: string;
  env?: Record<string, string>;
}
interface Job {
  'runs-on': unknown;
  needs?: string;
  if?: string;
  environment?: string;
  permissions?: Record<string, string>;
  env?: Record<string, string>;
  steps: Step[];
}

const aegis = async (cwd: string, ...args: string[]): Promise<string> => {
  const argv = ['--disable-warning=ExperimentalWarning', join(CHECKOUT, 'gateway', 'main.ts'), ...args];
  return (await run(process.execPath, argv, { cwd })).stdout;
};

/** The shell blocks of a guide. */
const blocks = (text: string): string[] => [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, body]) => body ?? '');

/** `./aegis …` in a text, up to where the command ends. */
const commandsIn = (text: string): string[][] =>
  [...text.matchAll(/\.\/aegis ((?:"[^"\n]*"|[^\n`|;&#)])*)/g)].map(([, rest]) => (rest ?? '').trim().split(/\s+/));

describe('the workflow of policies', () => {
  let jobs: Record<string, Job>;
  let scripts: string[];
  beforeAll(async () => {
    ({ jobs } = parse(await readFile(join(CHECKOUT, WORKFLOW), 'utf8')) as { jobs: Record<string, Job> });
    scripts = Object.values(jobs).flatMap(({ steps }) => steps.flatMap((step) => step.run ?? []));
  });

  test('has jobs that follow each other, on actions of a fixed version', async () => {
    for (const [name, job] of Object.entries(jobs)) {
      expect([name, job['runs-on']]).toEqual([name, expect.anything()]);
      if (job.needs !== undefined) expect(jobs).toHaveProperty(job.needs);
      for (const { uses, run: script } of job.steps) {
        expect([name, (uses === undefined) !== (script === undefined)]).toEqual([name, true]);
        if (uses !== undefined)
          expect(uses).toMatch(/^(?:[a-z-]+\/[a-z-]+(?:\/[a-z-]+)?@v\d+|\.\/\.github\/actions\/setup)$/);
      }
    }
    const action = parse(await readFile(join(CHECKOUT, '.github/actions/setup/action.yml'), 'utf8'));
    expect(action.runs.using).toBe('composite');
  });

  test('lets nothing of an event into a script, and no secret into a job that a pull request starts', () => {
    expect(scripts.filter((script) => script.includes('${{'))).toEqual([]);
    for (const [name, job] of Object.entries(jobs)) {
      const hasSecrets = JSON.stringify(job).includes('secrets.');
      if (hasSecrets)
        expect([name, job.environment, job.if]).toEqual([
          name,
          'policy-release',
          expect.not.stringContaining('pull_request'),
        ]);
      expect([name, hasSecrets]).toEqual([name, name === 'release' || name === 'steer']);
    }
    expect(jobs.prove?.permissions).toEqual({ contents: 'read', 'security-events': 'write' });
  });

  test('is of scripts that the shell understands', async () => {
    for (const script of scripts) await run('bash', ['-n', '-c', script]);
  });
});

describe('what the workflow and docs/gitops.md tell people to run', () => {
  test('are commands and options that exist', async () => {
    const texts = await Promise.all([WORKFLOW, GUIDE].map((file) => readFile(join(CHECKOUT, file), 'utf8')));
    const commands = texts.flatMap(commandsIn);
    const helps = new Map<string, string>();
    const helpOf = async (path: string[]): Promise<string> => {
      const name = path.join(' ');
      const known = helps.get(name) ?? (await aegis(CHECKOUT, ...path, '--help'));
      helps.set(name, known);
      return known;
    };
    const wrong: string[] = [];
    for (const [command = '', ...rest] of commands) {
      const path = command === 'rollout' && rest[0] !== undefined ? [command, rest.shift() as string] : [command];
      const help = await helpOf(path).catch(() => '');
      if (!help.startsWith(`Usage: aegis ${path.join(' ')}`)) wrong.push(path.join(' '));
      for (const option of rest.filter((word) => /^--?[a-z]/.test(word))) {
        if (!new RegExp(`^ +(?:-\\w, )?${option}(?:[ ,]|$)`, 'm').test(help)) wrong.push(`${path.join(' ')} ${option}`);
      }
    }
    expect(wrong).toEqual([]);
    expect([...helps.keys()].sort()).toEqual(
      expect.arrayContaining([
        'build',
        'check',
        'doctor',
        'replay',
        'rollout canary',
        'rollout promote',
        'sign',
        'test',
        'verify',
      ]),
    );
    expect(commands.length).toBeGreaterThan(25);
  }, 300_000);

  test('makes keys that sign, and rotates them: two are trusted for a while, and where a bundle comes from stays', async () => {
    await requireCompiler();
    const guide = await readFile(join(CHECKOUT, GUIDE), 'utf8');
    const [keys = ''] = blocks(guide).filter((block) => block.includes('openssl'));
    const rotation = blocks(guide).find((block) => block.startsWith('./aegis sign ')) ?? '';
    await withFolder(async (folder) => {
      for (const [name, text] of Object.entries(allowAll())) await writeFiles(folder, { [`policies/${name}`]: text });
      await mkdir(join(folder, 'bundles', 'keys'), { recursive: true });
      for (const year of ['2026', '2027']) {
        await run('sh', ['-ec', keys.replaceAll('2026', year)], { cwd: folder });
        const pem = await readFile(join(folder, `policy-${year}.pub.pem`));
        await writeFile(join(folder, 'bundles', 'keys', `policy-${year}.pub.pem`), pem);
      }
      const bundle = 'bundles/policies-41.tar.gz';
      await aegis(folder, 'build', 'policies', '-o', bundle, '--key', 'policy-2026.pem', '--sequence', '41');
      await aegis(
        folder,
        'sign',
        bundle,
        '--key',
        'policy-2026.pem',
        '--expires',
        '90d',
        '--claims',
        '{"commit":"abc"}',
      );
      const commands = commandsIn(rotation);
      expect(commands.map(([command]) => command)).toEqual(['sign', 'verify']);
      let told = '';
      for (const command of commands) told = await aegis(folder, ...command);
      expect(told).toMatch(/^good +bundles\/policies-41\.tar\.gz\n/);
      expect(told).toMatch(/\nsigned by +key policy-2027, ES256/);
      expect(told).toMatch(/\ncommit +abc\n/);
      expect(told).toMatch(/\nexpires +20/);
    });
  }, 300_000);

  test('has a row for each reason that a bundle is refused for', async () => {
    const guide = await readFile(join(CHECKOUT, GUIDE), 'utf8');
    const refused = guide.slice(guide.indexOf('## A bundle is refused at night'));
    const quoted = [...refused.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell]) => [
      ...(cell ?? '').matchAll(/`([^`]+)`/g),
    ]);
    const sources = await Promise.all(
      [
        'activate',
        'bundle',
        'bundle-store',
        'signature',
        'http-answer',
        'engine',
        'evaluator',
        'meter',
        'metered-run',
        'warmup',
      ].map((name) => readFile(join(CHECKOUT, 'gateway', 'policy', `${name}.ts`), 'utf8')),
    );
    const text = sources.join('\n');
    const isSaid = (sentence: string): boolean =>
      sentence.split('…').every((part) => text.includes(part.replace(/[ (]+\d*$/, '')));
    const unknown = quoted.flatMap(([, sentence = '']) =>
      sentence === 'ENOENT' || isSaid(sentence) ? [] : [sentence],
    );
    expect(unknown).toEqual([]);
    expect(quoted.length).toBeGreaterThan(15);
  });
});

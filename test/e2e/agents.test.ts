import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openTestGateway, ROOT, type TestGateway } from '../support/gateway.ts';

// The agents as their makers ship them: 800 MB, so they are used where they are, and fetched by hand:
// npm install --prefix .tools/agents --no-save @anthropic-ai/claude-code @openai/codex
const BIN = join(ROOT, '.tools/agents/node_modules/.bin');

const optional = (program: string): typeof describe | typeof describe.skip =>
  existsSync(join(BIN, program)) ? describe : describe.skip;

let gateway: TestGateway;
let folder: string;

beforeAll(async () => {
  gateway = await openTestGateway({
    upstreams: ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({ name, kind: 'sandbox' })),
  });
  folder = await mkdtemp(join(tmpdir(), 'aegis-agents-'));
});
afterAll(async () => {
  await gateway.close();
  await rm(folder, { recursive: true, force: true });
});

/** What a program said. Throws when it failed. */
const say = (program: string, args: readonly string[], env: Record<string, string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const options = { cwd: folder, env: { PATH: process.env.PATH ?? '', HOME: folder, ...env }, timeout: 90_000 };
    const child = execFile(join(BIN, program), args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program}: ${error.message}\n${stdout}\n${stderr}`));
      else resolve(stdout + stderr);
    });
    child.stdin?.end();
  });

const QUESTION = 'Name the largest planet.';

optional('claude')('claude (skipped unless .tools/agents has it)', () => {
  const ask = async (model: string): Promise<string> =>
    say('claude', ['-p', QUESTION, '--model', model], {
      ANTHROPIC_BASE_URL: gateway.url,
      ANTHROPIC_AUTH_TOKEN: await gateway.key('teacher'),
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    });

  test('works with a model of Anthropic', async () => {
    expect(await ask('claude-haiku-5-5')).toContain('This is the sandbox');
    const outcome = (await gateway.outcomes()).findLast(({ endpoint }) => endpoint === 'messages');
    expect(outcome).toMatchObject({ outcome: 'ok', model: 'claude-haiku-5-5', upstream: 'anthropic' });
  }, 120_000);

  test('works with a model of OpenAI', async () => {
    expect(await ask('gpt-5.4-nano')).toContain('This is the sandbox');
    const outcome = (await gateway.outcomes()).findLast(({ endpoint }) => endpoint === 'messages');
    expect(outcome).toMatchObject({ outcome: 'ok', model: 'gpt-5.4-nano', upstream: 'openai' });
  }, 120_000);
});

optional('codex')('codex (skipped unless .tools/agents has it)', () => {
  const ask = async (model: string): Promise<string> => {
    const provider = {
      name: '"Aegis"',
      base_url: `"${gateway.url}/v1"`,
      env_key: '"AEGIS_KEY"',
      wire_api: '"responses"',
      supports_websockets: 'false',
    };
    const settings = Object.entries(provider).flatMap(([key, value]) => [
      '-c',
      `model_providers.aegis.${key}=${value}`,
    ]);
    return say(
      'codex',
      ['exec', '--skip-git-repo-check', '-c', 'model_provider="aegis"', ...settings, '-m', model, QUESTION],
      { AEGIS_KEY: await gateway.key('teacher') },
    );
  };

  test('works with a model of OpenAI', async () => {
    expect(await ask('gpt-6-sol')).toContain('This is the sandbox');
    const outcome = (await gateway.outcomes()).findLast(({ endpoint }) => endpoint === 'responses');
    expect(outcome).toMatchObject({ outcome: 'ok', model: 'gpt-6-sol', upstream: 'openai' });
  }, 120_000);

  test('works with a model of Anthropic', async () => {
    expect(await ask('claude-haiku-5-5')).toContain('This is the sandbox');
    const outcome = (await gateway.outcomes()).findLast(({ endpoint }) => endpoint === 'responses');
    expect(outcome).toMatchObject({ outcome: 'ok', model: 'claude-haiku-5-5', upstream: 'anthropic' });
  }, 120_000);
});

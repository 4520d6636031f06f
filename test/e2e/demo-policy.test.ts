import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { ROOT } from '../support/gateway.ts';

/** What the demo changes in its copy, and what a build or a rollout of the checkout would change. */
const OWN = ['policies/rules/routing', 'policies/scenarios', 'policies/organizations', 'bundles', 'bundles/keys'];

const digestOf = async (folders: readonly string[]): Promise<string> => {
  const hash = createHash('sha256');
  for (const folder of folders) {
    for (const entry of (await readdir(join(ROOT, folder), { withFileTypes: true })).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    ))
      if (entry.isFile()) hash.update(`${entry.name}\n`).update(await readFile(join(ROOT, folder, entry.name)));
  }
  return hash.digest('hex');
};

const runDemo = (): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, ['scripts/demo-policy.ts'], { cwd: ROOT }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });

test('the demo tells the life of a policy with commands that do what it says, in a folder of its own', async () => {
  const before = await digestOf(OWN);
  const { code, stdout, stderr } = await runDemo();
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const story = [
    '1. Change a rule',
    /routing\.rego:\d+:\d+ .*null is less than every number {2}\[null-order\]/,
    'no findings',
    /scenarios +1 passed/,
    '300 answers: 120 × gpt-5.4-nano, 180 × gpt-6-sol',
    /another first model +│ 120 \(40\.0 %\)/,
    /cost at the same tokens │ 0\.\d+ → 0\.\d+ USD, -0\.\d+ \(-\d/,
    'Guards kept',
    /signed +bundles\/short-answers\.tar\.gz/,
    /good +bundles\/short-answers\.tar\.gz/,
    /stage +shadow/,
    /max_deny_rate_increase +│ +0\.00 %/,
    /stage +canary 25 % by session/,
    /candidate +[1-9]\d+ requests, 0 denied/,
    '+ stable: "short-answers.tar.gz"',
    /stage +ROLLED BACK at .* by max_deny_rate_increase/,
    /[1-9]\d* requests were refused/,
    /\n {4}60 answers: \d+ × gpt-5\.4-nano, \d+ × gpt-6-sol; /,
    'DENIED by policy, status 403, unknown_course',
    /access\.unknown_course +policies\/rules\/access\/access\.rego:\d+/,
    'That was the life of a policy:',
  ];
  let rest = stdout;
  for (const line of story) {
    const at = typeof line === 'string' ? rest.indexOf(line) : rest.search(line);
    if (at < 0) throw new Error(`the demo does not tell, or not in its place: ${line}\n${rest}`);
    rest = rest.slice(at + 1);
  }
  const folder = /gateway of its own: (\S+)/.exec(stdout)?.[1] as string;
  expect(folder.startsWith(ROOT)).toBe(false);
  expect(existsSync(folder)).toBe(false);
  expect(await digestOf(OWN)).toBe(before);
}, 300_000);

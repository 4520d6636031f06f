import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { installLocalModel, LOCAL_MODEL } from '../../scripts/install-local-model.ts';
import { ROOT } from './gateway.ts';

/** A real model behind an OpenAI-compatible server in a process of its own. */
export interface LocalModel {
  readonly baseUrl: string;
  close(): Promise<void>;
}

/** Starts the model, fetched on first use; a string says why it cannot run here. */
export const openLocalModel = async (): Promise<LocalModel | string> => {
  try {
    const weights = await installLocalModel();
    const script = join(ROOT, 'test/support/local-model-server.ts');
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, LOCAL_MODEL, weights]);
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const exited = once(child, 'exit');
    const first = await Promise.race([once(child.stdout, 'data'), exited.then(() => null)]);
    if (first === null) return `the engine did not start: ${stderr.slice(0, 200)}`;
    return {
      baseUrl: String(first[0]).trim(),
      async close() {
        child.kill('SIGKILL');
        await exited;
      },
    };
  } catch (error) {
    return String((error as { message?: unknown }).message ?? error).slice(0, 200);
  }
};

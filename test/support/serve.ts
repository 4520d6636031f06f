import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, type UpstreamSketch } from './gateway.ts';

/** `./aegis serve` in a process of its own. */
export interface Served {
  readonly url: string;
  readonly adminUrl: string;
  readonly process: ChildProcess;
  /** From the start of the process until it said that it listens. */
  readonly startMs: number;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Sends a signal and gives the exit code, null when the signal ended it. */
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts `./aegis serve` with these arguments and this environment only. Throws what it said when it does not listen. */
export const startServe = async (args: readonly string[], env: Record<string, string>, cwd = ROOT): Promise<Served> => {
  const started = performance.now();
  const child = spawn(join(ROOT, 'aegis'), ['serve', ...args], { cwd, env: { PATH: process.env.PATH ?? '', ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const exited = once(child, 'exit') as Promise<[number | null]>;
  const listening = new Promise<RegExpExecArray>((resolve, reject) => {
    child.stdout.on('data', () => {
      const match = /listens on (\S+)\s+\(control plane ([^\s,)]+)/.exec(stdout);
      if (match) resolve(match);
    });
    child.once('exit', (code) => reject(new Error(`aegis serve ended with ${code}: ${stdout}${stderr}`)));
  });
  const match = await listening;
  return {
    url: match[1] as string,
    adminUrl: match[2] as string,
    process: child,
    startMs: performance.now() - started,
    stdout: () => stdout,
    stderr: () => stderr,
    async stop(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return (await exited)[0];
    },
  };
};

/** Writes an aegis.yaml into a home and gives its path. */
export const writeConfig = async (
  home: string,
  upstreams: readonly UpstreamSketch[],
  more: Record<string, unknown> = {},
): Promise<string> => {
  const file = join(home, 'aegis.yaml');
  const config = {
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    home,
    upstreams,
    bundles: { source: join(ROOT, 'bundles'), public_keys: [join(ROOT, 'bundles/keys/demo.pub.pem')] },
    ...more,
  };
  await writeFile(file, JSON.stringify(config));
  return file;
};

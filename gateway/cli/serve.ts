import { existsSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { ConfigError, readConfig, type Settings } from '../config.ts';
import { DEMO_CALLER, DEMO_DENIED_MODEL, demoConfig, demoKey } from '../demo.ts';
import { logHomeOf } from '../log-homes.ts';
import { openGateway, type Running } from '../wire.ts';
import { openWorkers, type WorkerReady } from './workers.ts';

const DEFAULT_CONFIG = 'aegis.yaml';

/** `aegis serve`: the gateway, until SIGTERM or SIGINT. */
export const serveCommand = (): Command =>
  new Command('serve')
    .description('start the gateway')
    .option('--config <file>', `the config; without one ./${DEFAULT_CONFIG}, else the demo with the sandbox provider`)
    .option(
      '--workers <n>',
      'processes that serve from the one address; more than one needs redis.url',
      parseWorkers,
      1,
    )
    .action(async (options: { config?: string; workers: number }) => {
      const file = options.config ?? (existsSync(DEFAULT_CONFIG) ? DEFAULT_CONFIG : undefined);
      if (process.env.AEGIS_WORKER !== undefined) return serveAsWorker(file, Number(process.env.AEGIS_WORKER));
      if (options.workers > 1) return superviseWorkers(file, options.workers);
      if (file) {
        const running = await openGateway(readConfig(file, process.env));
        const stopped = untilStopped(running);
        print(`Aegis listens on ${running.url} (control plane ${running.adminUrl})\n`);
        return stopped;
      }
      const { settings, sandboxed } = demoConfig(process.env);
      const running = await openGateway(settings);
      const stopped = untilStopped(running);
      const key = await demoKey(
        settings.home,
        (secret) => running.gateway.keys.find(secret, Date.now()) !== undefined,
        () => running.createKey(DEMO_CALLER),
      );
      print(welcome(running, settings, key, sandboxed));
      return stopped;
    });

const MOST_WORKERS = 64;

const parseWorkers = (value: string): number => {
  const count = Number(value);
  if (Number.isInteger(count) && count >= 1 && count <= MOST_WORKERS) return count;
  throw new InvalidArgumentError(`a number from 1 to ${MOST_WORKERS}.`);
};

const settingsOf = (file: string | undefined): Settings =>
  file === undefined ? demoConfig(process.env).settings : readConfig(file, process.env);

/** The process that starts the workers: it serves the control plane alone. */
const superviseWorkers = async (file: string | undefined, count: number): Promise<void> => {
  const settings = settingsOf(file);
  // Each would count limits and budgets for itself: the caps would be as many times as high.
  if (settings.redis.url === '') throw new ConfigError(['--workers needs redis.url: limits are counted in one place']);
  const workers = await openWorkers(settings, file === undefined ? [] : ['--config', file], count);
  const stopped = untilStopped({
    async close() {
      if (!(await workers.close())) process.exitCode = 1;
    },
  });
  print(`Aegis listens on ${workers.url} (control plane ${workers.adminUrl}), ${count} workers\n`);
  return stopped;
};

/** One of several processes. It ends with the supervisor, and at its word; Ctrl-C is the supervisor's to hear. */
const serveAsWorker = async (file: string | undefined, worker: number): Promise<void> => {
  const settings = settingsOf(file);
  const running = await openGateway({ ...settings, logHome: logHomeOf(settings.home, worker), reusePort: true });
  process.on('SIGINT', () => {});
  process.send?.({ url: running.url, adminUrl: running.adminUrl } satisfies WorkerReady);
  return new Promise((resolve) => {
    let isStopping = false;
    const stop = (): void => {
      if (isStopping) return;
      isStopping = true;
      running.close().then(
        () => {
          process.disconnect?.();
          resolve();
        },
        () => process.exit(1),
      );
    };
    process.once('SIGTERM', stop);
    process.once('disconnect', stop);
  });
};

const print = (text: string): void => {
  process.stdout.write(text);
};

/** Stops once on the first signal, in order; at once on the second. */
const untilStopped = (running: Pick<Running, 'close'>): Promise<void> =>
  new Promise((resolve) => {
    const stop = (): void => {
      process.once('SIGTERM', () => process.exit(1));
      process.once('SIGINT', () => process.exit(1));
      running.close().then(resolve, (error: unknown) => {
        process.stderr.write(`aegis: stopping failed: ${String(error)}\n`);
        process.exitCode = 1;
        resolve();
      });
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
  });

const welcome = (running: Running, settings: Settings, key: string, sandboxed: readonly string[]): string => `
Aegis listens on ${running.url}  (control plane ${running.adminUrl}, policy ${running.gateway.policies.current?.ref.revision.slice(0, 12) ?? 'none'})
Played by the offline sandbox: ${sandboxed.join(', ')}. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or MISTRAL_API_KEY for the real ones.
Demo key, a student of demo-university (in ${settings.home}/demo.key):

  export AEGIS_KEY=${key}

1. Allowed: a multiple-choice question goes to a cheap model (x-aegis-model; ask for an essay and see it change).
curl -si ${running.url}/v1/chat/completions -H "authorization: Bearer $AEGIS_KEY" -H 'content-type: application/json' \\
  -d '{"model":"auto","messages":[{"role":"user","content":"Which planet is largest?\\nA. Mars\\nB. Jupiter\\nC. Venus"}]}'

2. Redacted: the address leaves as a placeholder and comes back restored.
curl -si ${running.url}/v1/chat/completions -H "authorization: Bearer $AEGIS_KEY" -H 'content-type: application/json' \\
  -d '{"model":"auto","messages":[{"role":"user","content":"Write a short note to jane.doe@example.org about the exam."}]}'

3. Denied: a student may not use the frontier model; the answer names the rule and what would be allowed.
curl -si ${running.url}/v1/chat/completions -H "authorization: Bearer $AEGIS_KEY" -H 'content-type: application/json' \\
  -d '{"model":"${DEMO_DENIED_MODEL}","messages":[{"role":"user","content":"Prove that there are infinitely many primes."}]}'

Then: ./aegis explain <x-aegis-decision-id>
`;

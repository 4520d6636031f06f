import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { readConfig, type Settings } from '../config.ts';
import { DEMO_CALLER, DEMO_DENIED_MODEL, demoConfig, demoKey } from '../demo.ts';
import { openGateway, type Running } from '../wire.ts';

const DEFAULT_CONFIG = 'aegis.yaml';

/** `aegis serve`: the gateway, until SIGTERM or SIGINT. */
export const serveCommand = (): Command =>
  new Command('serve')
    .description('start the gateway')
    .option('--config <file>', `the config; without one ./${DEFAULT_CONFIG}, else the demo with the sandbox provider`)
    .action(async (options: { config?: string }) => {
      const file = options.config ?? (existsSync(DEFAULT_CONFIG) ? DEFAULT_CONFIG : undefined);
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

const print = (text: string): void => {
  process.stdout.write(text);
};

/** Stops once on the first signal, in order; at once on the second. */
const untilStopped = (running: Running): Promise<void> =>
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

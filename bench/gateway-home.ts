import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** A gateway ready to serve: its config, and a key that may ask for anything. */
export interface GatewayHome {
  readonly config: string;
  readonly key: string;
}

/**
 * Prepares a gateway in `folder`: the repository's own policies but for tiers and budgets without effect (a benchmark
 * would only measure its own refusals), built and signed as for any deployment, a home of its own and a key.
 */
export const prepareGateway = async (folder: string, upstreamUrl: string): Promise<GatewayHome> => {
  const policies = join(folder, 'policies');
  const bundles = join(folder, 'bundles');
  const home = join(folder, 'home');
  cpSync(join(ROOT, 'policies'), policies, { recursive: true });
  loosen(join(policies, 'tiers', 'data.yaml'), [
    [/requests_per_minute: \d+/g, 'requests_per_minute: 1000000000'],
    [/tokens_per_minute: \d+/g, 'tokens_per_minute: 1000000000000'],
    [/concurrent: \d+/g, 'concurrent: 1000000'],
  ]);
  loosen(join(policies, 'organizations', 'data.yaml'), [[/usd: \d+/g, 'usd: 1000000000']]);
  mkdirSync(join(bundles, 'keys'), { recursive: true });
  cpSync(join(ROOT, 'bundles', 'keys', 'demo.pub.pem'), join(bundles, 'keys', 'demo.pub.pem'));
  await aegis('build', policies, '-o', join(bundles, 'bench.tar.gz'), '--sequence', '1');
  writeFileSync(join(bundles, 'rollout.yaml'), 'stable: "bench.tar.gz"\n');
  const made = await aegis(
    ...['keys', 'create', '--home', home, '--org', 'demo-university', '--team', 'nlp-lab'],
    ...['--user', 'bench', '--roles', 'researcher', '--json'],
  );
  const config = join(folder, 'aegis.yaml');
  const upstream = {
    name: 'openai',
    kind: 'openai',
    base_url: `${upstreamUrl}/v1`,
    api_key: 'sk-bench',
    third_party: true,
  };
  writeFileSync(
    config,
    JSON.stringify({
      listen: '127.0.0.1:0',
      admin: { listen: '127.0.0.1:0' },
      home,
      upstreams: [upstream],
      bundles: { source: bundles, public_keys: [join(bundles, 'keys', 'demo.pub.pem')] },
      log_level: 'warn',
    }),
  );
  return { config, key: (JSON.parse(made) as { secret: string }).secret };
};

/** Replaces figures in a policy data file. Throws when one is not there, so that the benchmark cannot silently measure refusals. */
const loosen = (file: string, changes: readonly (readonly [RegExp, string])[]): void => {
  let text = readFileSync(file, 'utf8');
  for (const [pattern, replacement] of changes) {
    if (text.search(pattern) < 0) throw new Error(`${file} has no ${pattern}`);
    text = text.replace(pattern, replacement);
  }
  writeFileSync(file, text);
};

const aegis = async (...args: string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)(join(ROOT, 'aegis'), args, { timeout: 120_000 });
  return stdout;
};

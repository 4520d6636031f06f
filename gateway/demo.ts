import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseConfig, type Settings } from './config.ts';
import type { KeyGrant } from './store/keys.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Which environment variable turns a demo upstream from the sandbox into the real provider. */
const PROVIDERS = [
  { name: 'openai', variable: 'OPENAI_API_KEY', base: 'https://api.openai.com/v1' },
  { name: 'anthropic', variable: 'ANTHROPIC_API_KEY', base: 'https://api.anthropic.com' },
  { name: 'mistral', variable: 'MISTRAL_API_KEY', base: 'https://api.mistral.ai/v1' },
];

/** The demo's config, and which of its upstreams are played by the sandbox. */
export interface Demo {
  readonly settings: Settings;
  readonly sandboxed: readonly string[];
}

/**
 * The config of `aegis serve` without one: every provider whose key is in the environment, the sandbox for the others;
 * the store of DATABASE_URL and the limits of REDIS_URL where they are set.
 * A config of one's own never falls back to the sandbox.
 */
export const demoConfig = (env: NodeJS.ProcessEnv): Demo => {
  const sandboxed = ['local'];
  const upstreams: object[] = [{ name: 'local', kind: 'sandbox' }];
  for (const { name, variable, base } of PROVIDERS) {
    if (env[variable]) {
      upstreams.push({ name, kind: name, base_url: base, api_key: env[variable] });
    } else {
      sandboxed.push(name);
      upstreams.push({ name, kind: 'sandbox' });
    }
  }
  const config = {
    upstreams,
    store: { url: env.DATABASE_URL ?? '' },
    redis: { url: env.REDIS_URL ?? '' },
    log_level: 'warn',
  };
  const settings = parseConfig(JSON.stringify(config), join(ROOT, 'demo'), env);
  return { settings, sandboxed };
};

/** Who the demo key acts for: a student of policies/organizations/data.yaml. */
export const DEMO_CALLER: KeyGrant = {
  org: 'demo-university',
  team: 'cs101',
  user: 'sam',
  roles: ['student'],
  groups: [],
  workflows: [],
};

/** A frontier model of policies/models/data.yaml, which a student may not use. */
export const DEMO_DENIED_MODEL = 'gpt-6-astra';

/** The demo key of a home, made by `create` on first use and kept in `<home>/demo.key`, readable by its owner alone. */
export const demoKey = async (
  home: string,
  isValid: (secret: string) => boolean,
  create: () => Promise<string>,
): Promise<string> => {
  const file = join(home, 'demo.key');
  try {
    const secret = readFileSync(file, 'utf8').trim();
    if (isValid(secret)) return secret;
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
  const secret = await create();
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  return secret;
};

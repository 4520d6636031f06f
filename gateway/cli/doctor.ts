import { existsSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { type ConfigError, readConfig, type Settings } from '../config.ts';
import { demoConfig } from '../demo.ts';
import { checkBundle } from './doctor-bundle.ts';
import { type Check, ok, problem } from './doctor-check.ts';
import { checkHome } from './doctor-home.ts';
import { checkClock, checkPorts } from './doctor-host.ts';
import { checkIssuers } from './doctor-issuers.ts';
import { checkReceivers } from './doctor-receivers.ts';
import { checkRedis } from './doctor-redis.ts';
import { checkStore } from './doctor-store.ts';
import { checkUpstream } from './doctor-upstream.ts';
import { parseDuration } from './duration.ts';

const DEFAULT_CONFIG = 'aegis.yaml';

interface DoctorFlags {
  config?: string;
  timeout: number;
  json?: true;
}

/** `aegis doctor`: looks at everything that a gateway needs, and says what to mend. Nothing is changed. */
export const doctorCommand = (): Command =>
  new Command('doctor')
    .description(
      'check config, home, Postgres, Redis, bundle, upstreams, issuers, receivers, clock and ports, and say what to mend',
    )
    .option('--config <file>', `the config; without one ./${DEFAULT_CONFIG}, else the demo`)
    .option('--timeout <time>', 'for each step of asking an upstream', parseTimeout, 5_000)
    .option('--json', 'print JSON')
    .action(async (flags: DoctorFlags) => {
      const checks = await examine(flags, Date.now());
      const isGood = checks.every(({ status }) => status !== 'problem');
      if (!isGood) process.exitCode = 1;
      console.log(flags.json ? JSON.stringify({ ok: isGood, checks }) : textOf(checks));
    });

const parseTimeout = (text: string): number => {
  const ms = parseDuration(text);
  if (!ms) throw new InvalidArgumentError('Write a time such as 5s.');
  return ms;
};

const examine = async ({ config, timeout }: DoctorFlags, now: number): Promise<Check[]> => {
  const checks: Check[] = [];
  const settings = readSettings(config, checks);
  if (!settings) return checks;
  const [home, store, redis, bundle, ports, upstreams, issuers, receivers] = await Promise.all([
    checkHome(settings.home, now, settings.store.url !== ''),
    checkStore(settings.home, settings.store.url, timeout),
    checkRedis(settings.redis.url, timeout),
    checkBundle(settings, now),
    checkPorts(settings),
    Promise.all(settings.upstreams.map((upstream) => checkUpstream(upstream, timeout))),
    checkIssuers(settings.identity.jwt, timeout),
    checkReceivers(settings, timeout),
  ]);
  checks.push(
    ...home,
    ...store,
    ...redis,
    ...bundle,
    ...upstreams.flatMap((upstream) => upstream.checks),
    ...issuers,
    ...receivers,
  );
  const times = upstreams.map(({ serverTimeMs }) => serverTimeMs).filter((time) => time !== null);
  checks.push(await checkClock(settings, now, times), ...ports);
  return checks;
};

const readSettings = (option: string | undefined, checks: Check[]): Settings | undefined => {
  const file = option ?? (existsSync(DEFAULT_CONFIG) ? DEFAULT_CONFIG : undefined);
  try {
    if (file === undefined) {
      const { settings, sandboxed } = demoConfig(process.env);
      checks.push(ok('config', `none, so the demo's (sandbox: ${sandboxed.join(', ')}); ./aegis init writes one`));
      return settings;
    }
    const settings = readConfig(file, process.env);
    checks.push(ok('config', `${file} is valid, ${settings.upstreams.length} upstreams`));
    return settings;
  } catch (error) {
    if ((error as { name?: unknown }).name !== 'ConfigError') throw error;
    const fix = 'correct it there (schemas/config.json tells each field)';
    for (const finding of (error as ConfigError).findings) checks.push(problem('config', finding, fix));
    return undefined;
  }
};

const LABELS = { ok: 'ok', warning: 'warning', problem: 'PROBLEM' } as const;

const textOf = (checks: readonly Check[]): string => {
  const width = Math.max(...checks.map(({ check }) => check.length)) + 2;
  const lines = checks.flatMap(({ check, status, found, fix }) => [
    `${LABELS[status].padEnd(9)}${check.padEnd(width)}${found}`,
    ...(fix === null ? [] : [`${' '.repeat(9)}${'fix:'.padEnd(width)}${fix}`]),
  ]);
  const summary = (['problem', 'warning'] as const).map((wanted) => {
    const count = checks.filter(({ status }) => status === wanted).length;
    return `${count} ${wanted}${count === 1 ? '' : 's'}`;
  });
  return [...lines, '', summary.join(', ')].join('\n');
};

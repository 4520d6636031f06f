import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { readStorePlace } from '../config.ts';
import { homeOf } from './home.ts';

const DEFAULT_CONFIG = 'aegis.yaml';

/** The config that a command goes by; undefined where there is none, or `--home` alone says where. */
export const configOf = ({ home, config }: StoreFlags): string | undefined =>
  config ?? (home === undefined && existsSync(DEFAULT_CONFIG) ? DEFAULT_CONFIG : undefined);

/** Where a command finds keys and the ledger. */
export interface StorePlace {
  readonly home: string;
  /** Of a Postgres; '' for the embedded store in the home. */
  readonly url: string;
}

export interface StoreFlags {
  home?: string;
  config?: string;
}

/** The options that name a store. */
export const withStoreFlags = (command: Command): Command =>
  command
    .option(
      '--config <file>',
      `the gateway's config, of which home and store.url are read (default: ./${DEFAULT_CONFIG}, unless --home is given)`,
    )
    .option(
      '--home <folder>',
      'folder of the store and the audit log (default: AEGIS_HOME, else the config’s, else .aegis)',
    );

/** The store that `aegis serve` uses with the same config. `--home` alone names an embedded store. Throws ConfigError. */
export const storePlaceOf = ({ home, ...flags }: StoreFlags): StorePlace => {
  const file = configOf({ ...(home !== undefined && { home }), ...flags });
  // Without a config it is the demo's, which looks at DATABASE_URL.
  if (file === undefined)
    return { home: homeOf(home), url: home === undefined ? (process.env.DATABASE_URL ?? '') : '' };
  const settings = readStorePlace(file, process.env);
  return { home: home === undefined ? settings.home : resolve(home), url: settings.store.url };
};

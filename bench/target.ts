import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { prepareGateway, ROOT } from './gateway-home.ts';
import { type Pinned, startPinned } from './process.ts';

/** A server under measurement. */
export interface Target {
  readonly name: string;
  readonly url: string;
  readonly key: string;
  readonly process: Pinned;
}

export interface TargetOptions {
  readonly core: number;
  readonly upstreamUrl: string;
  /** A folder of this run's own. */
  readonly folder: string;
  /** Flags for Node, such as --cpu-prof; only the gateway takes them. */
  readonly nodeFlags?: readonly string[];
}

/** The one that all others are compared to. */
export const BASELINE = 'bare Koa';
export const GATEWAY = 'Aegis';

const openBaseline = async (name: string, file: string, { core, upstreamUrl }: TargetOptions): Promise<Target> => {
  const script = join(ROOT, 'bench', 'targets', file);
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', script];
  const started = await startPinned(core, command, /listening on/, { BENCH_UPSTREAM: upstreamUrl });
  return { name, url: urlIn(started.line), key: '', process: started };
};

const openGateway = async (options: TargetOptions): Promise<Target> => {
  const folder = join(options.folder, 'gateway');
  mkdirSync(folder, { recursive: true });
  const { config, key } = await prepareGateway(folder, options.upstreamUrl);
  const flags = ['--disable-warning=ExperimentalWarning', ...(options.nodeFlags ?? [])];
  const command = [process.execPath, ...flags, join(ROOT, 'gateway', 'main.ts'), 'serve', '--config', config];
  const started = await startPinned(options.core, command, /Aegis listens on/);
  return { name: GATEWAY, url: urlIn(started.line), key, process: started };
};

/** How to start each target, in the order of the tables. */
export const TARGETS: Readonly<Record<string, (options: TargetOptions) => Promise<Target>>> = {
  'bare Node': (options) => openBaseline('bare Node', 'bare-node.ts', options),
  [BASELINE]: (options) => openBaseline(BASELINE, 'bare-koa.ts', options),
  [GATEWAY]: openGateway,
};

const urlIn = (line: string): string => {
  const url = /http:\/\/[\d.]+:\d+/.exec(line)?.[0];
  if (url === undefined) throw new Error(`no address in: ${line}`);
  return url;
};

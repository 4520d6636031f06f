import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runLoad } from './load.ts';
import { GATEWAY, TARGETS, type TargetOptions } from './target.ts';
import type { Workload } from './workload.ts';

export interface ProfileOptions {
  readonly loadCore: number;
  readonly loadProgram: string;
  readonly bodyFile: (workload: Workload) => string;
  readonly targetOptions: TargetOptions;
  readonly seconds: number;
  readonly workload: Workload;
}

/** Where the gateway's CPU goes under one workload: self time, idle left out. */
export interface Profile {
  readonly workload: string;
  readonly requests: number;
  /** Of the whole process while it served, microseconds a request. */
  readonly cpuUs: number;
  /** By who asked for the work: the nearest caller in the gateway's own code. */
  readonly owners: readonly { readonly part: string; readonly share: number; readonly us: number }[];
  /** By whose code ran. */
  readonly parts: readonly { readonly part: string; readonly share: number; readonly us: number }[];
  readonly functions: readonly {
    readonly name: string;
    readonly place: string;
    readonly share: number;
    readonly us: number;
  }[];
}

/** The parts of V8's .cpuprofile that are read: https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly children?: readonly number[];
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
  readonly startTime: number;
}

/** Runs the gateway under --cpu-prof, warmed up, and groups its self time by stage, seam and dependency. Prints both tables. */
export const profileGateway = async (options: ProfileOptions): Promise<Profile> => {
  const folder = join(options.targetOptions.folder, 'profile');
  mkdirSync(folder, { recursive: true });
  const nodeFlags = ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=200'];
  const target = await TARGETS[GATEWAY]!({ ...options.targetOptions, nodeFlags });
  const { workload } = options;
  const load = (seconds: number) =>
    runLoad(
      {
        core: options.loadCore,
        program: options.loadProgram,
        url: target.url,
        key: target.key,
        bodyFile: options.bodyFile(workload),
        connections: workload.connections,
        seconds,
        requestsMax: workload.requestsMax,
      },
      workload,
    );
  await load(6);
  const cpuBefore = target.process.cpuSeconds();
  const from = process.hrtime.bigint() / 1000n;
  const { requests } = await load(options.seconds);
  const to = process.hrtime.bigint() / 1000n;
  const cpuUs = ((target.process.cpuSeconds() - cpuBefore) * 1e6) / requests;
  await target.process.stop();
  // CPU.<date>.<time>.<pid>.<thread>.<n>.cpuprofile: thread 0 is the one that serves.
  const file = readdirSync(folder).find((name) => /^CPU\.\d+\.\d+\.\d+\.0\./.test(name));
  if (file === undefined) throw new Error('the gateway wrote no profile');
  const profile = groupProfile(
    JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile,
    Number(from),
    Number(to),
  );
  const result: Profile = {
    workload: workload.name,
    requests,
    cpuUs,
    owners: profile.owners.map(([part, share]) => ({ part, share, us: share * cpuUs })),
    parts: profile.parts.map(([part, share]) => ({ part, share, us: share * cpuUs })),
    functions: profile.functions.map(([key, share]) => {
      const [name, place] = key.split('\t') as [string, string];
      return { name, place, share, us: share * cpuUs };
    }),
  };
  print(result);
  return result;
};

type Shares = [string, number][];

/** Shares of the busy time between two moments of the monotonic clock, which V8's profiles use too. */
const groupProfile = (
  profile: CpuProfile,
  fromUs: number,
  toUs: number,
): { owners: Shares; parts: Shares; functions: Shares } => {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const ownerOf = ownersOf(profile);
  const owners = new Map<string, number>();
  const parts = new Map<string, number>();
  const functions = new Map<string, number>();
  let busy = 0;
  let at = profile.startTime;
  for (const [i, id] of profile.samples.entries()) {
    const delta = profile.timeDeltas[i]!;
    at += delta;
    const frame = frames.get(id)!;
    if (at < fromUs || at > toUs || frame.functionName === '(idle)') continue;
    busy += delta;
    add(owners, ownerOf.get(id)!, delta);
    add(parts, partOf(frame.functionName, frame.url), delta);
    const place = frame.url === '' ? '' : `${shortUrl(frame.url)}:${frame.lineNumber + 1}`;
    add(functions, `${frame.functionName || '(anonymous)'}\t${place}`, delta);
  }
  const sharesOf = (times: Map<string, number>): Shares =>
    [...times].map(([key, time]): [string, number] => [key, time / busy]).sort((a, b) => b[1] - a[1]);
  return { owners: sharesOf(owners), parts: sharesOf(parts), functions: sharesOf(functions).slice(0, 30) };
};

/** For each node the nearest part of the gateway among itself and its callers. V8 lists parents before children. */
const ownersOf = (profile: CpuProfile): Map<number, string> => {
  const owners = new Map<number, string>();
  for (const { id, children, callFrame } of profile.nodes) {
    const own = OWN.test(callFrame.url) || callFrame.functionName === '(garbage collector)';
    const owner = own
      ? partOf(callFrame.functionName, callFrame.url)
      : (owners.get(id) ?? 'nobody: Node and undici on their own');
    owners.set(id, owner);
    for (const child of children ?? []) owners.set(child, owner);
  }
  return owners;
};

const OWN = /\/gateway\/(?!.*node_modules)(.+)$/;

const add = (times: Map<string, number>, key: string, time: number): void => {
  times.set(key, (times.get(key) ?? 0) + time);
};

/** The stage, seam or dependency a frame belongs to. */
const partOf = (name: string, url: string): string => {
  if (name === '(garbage collector)') return 'garbage collection';
  if (name === '(program)') return 'V8 and libuv, outside JavaScript';
  if (url.startsWith('wasm://'))
    return url.includes('opa') ? 'the policy, in wasm' : 'wasm of dependencies (undici’s parser)';
  const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
  if (dependency !== undefined) return `dependency: ${dependency}`;
  const own = OWN.exec(url)?.[1];
  if (own === undefined) {
    return url.startsWith('node:')
      ? `Node: ${url.slice(5).split('/').slice(0, 2).join('/')}`
      : 'natives called from JavaScript';
  }
  const [folder, file] = own.split('/');
  if (file === undefined) return `gateway/${folder}`;
  return folder === 'stages' ? `stage: ${file.replace('.ts', '')}` : `gateway/${folder}`;
};

const shortUrl = (url: string): string => /(?:node_modules\/|\/(?=gateway\/))(.+)$/.exec(url)?.[1] ?? url;

const print = (profile: Profile): void => {
  const row = (share: number, us: number, text: string): string =>
    `${(share * 100).toFixed(1).padStart(5)} % ${us.toFixed(1).padStart(7)} µs  ${text}\n`;
  process.stdout.write(
    `${profile.workload}: ${profile.requests} requests, ${profile.cpuUs.toFixed(0)} µs CPU each\n\n`,
  );
  process.stdout.write('By who asked for the work:\n');
  for (const { part, share, us } of profile.owners) process.stdout.write(row(share, us, part));
  process.stdout.write('\nBy whose code ran:\n');
  for (const { part, share, us } of profile.parts) process.stdout.write(row(share, us, part));
  process.stdout.write('\n');
  for (const { name, place, share, us } of profile.functions) process.stdout.write(row(share, us, `${name}  ${place}`));
};

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from './gateway-home.ts';
import { type Bench, measure } from './measure.ts';
import { killAll, startPinned } from './process.ts';
import { profileGateway } from './profile.ts';
import { writeReport } from './report.ts';
import type { Results } from './results.ts';
import { tablesOf } from './table.ts';
import { BASELINE, TARGETS, type Target } from './target.ts';
import { STREAM_CHUNKS, WORKLOADS, type Workload } from './workload.ts';

const USAGE = `node bench/run.ts [options]
  --rounds N         rounds, each target once a round (5)
  --seconds S        of each run (3)
  --quick            2 rounds of half a second, nothing written: does it work?
  --targets A,B      only these of: ${Object.keys(TARGETS).join(', ')} (bare Koa is always measured)
  --workloads A,B    only these of: ${WORKLOADS.map(({ name }) => name).join(', ')}
  --profile NAME     instead: profile the gateway under this workload, where does its CPU go?
Writes bench/results/latest.{json,md} (profiles: profile.json) and docs/performance.md.
`;

const SERVER_CORE = 0;
const LOAD_CORE = 1;
const RESULTS = join(ROOT, 'bench', 'results');

const main = async (): Promise<void> => {
  const { values: flags } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      quick: { type: 'boolean', default: false },
      targets: { type: 'string' },
      workloads: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (flags.help) return void process.stdout.write(USAGE);
  const rounds = flags.quick ? 2 : bounded('--rounds', flags.rounds, 1, 50);
  const seconds = flags.quick ? 0.5 : bounded('--seconds', flags.seconds, 0.2, 60);
  const workloads = select('--workloads', flags.workloads ?? flags.profile, WORKLOADS);
  const names = Object.keys(TARGETS);
  const targets = select(
    '--targets',
    flags.targets,
    names.map((name) => ({ name })),
  ).map(({ name }) => name);
  if (cpus().length < 2) throw new Error('needs two cores: one for the server, one for mock and load');

  buildPrograms();
  const folder = mkdtempSync(join(tmpdir(), 'aegis-bench-'));
  const open: Target[] = [];
  try {
    const mock = await startPinned(
      LOAD_CORE,
      [join(ROOT, 'bench', 'bin', 'mock'), '-chunks', String(STREAM_CHUNKS)],
      /:\d+$/,
    );
    const mockUrl = `http://${mock.line}`;
    const bodyFile = (workload: Workload): string => join(folder, `${workload.name.replaceAll(' ', '-')}.json`);
    for (const workload of workloads) writeFileSync(bodyFile(workload), workload.body);
    const common = { loadCore: LOAD_CORE, loadProgram: join(ROOT, 'bench', 'bin', 'load'), mockUrl, bodyFile };
    const targetOptions = { core: SERVER_CORE, upstreamUrl: mockUrl, folder };

    if (flags.profile !== undefined) {
      const profile = await profileGateway({ ...common, targetOptions, seconds, workload: workloads[0]! });
      mkdirSync(RESULTS, { recursive: true });
      writeFileSync(join(RESULTS, 'profile.json'), `${JSON.stringify(profile, null, 2)}\n`);
    } else {
      for (const name of names) {
        if (targets.includes(name) || name === BASELINE) open.push(await TARGETS[name]!(targetOptions));
      }
      const bench: Bench = {
        ...common,
        targets: open,
        rounds,
        seconds,
        say: (line) => process.stderr.write(`${line}\n`),
      };
      const results: Results = {
        ...facts(rounds, seconds),
        workloads: await sequentially(workloads, (workload) => measure(bench, workload)),
        rssMb: Object.fromEntries(open.map((target) => [target.name, target.process.rssMb()])),
      };
      process.stdout.write(`${tablesOf(results)}\n${warningsOf(results)}`);
      if (flags.quick) return;
      mkdirSync(RESULTS, { recursive: true });
      writeFileSync(join(RESULTS, 'latest.json'), `${JSON.stringify(results, null, 2)}\n`);
      writeFileSync(join(RESULTS, 'latest.md'), tablesOf(results));
    }
    writeReport();
  } finally {
    killAll();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
};

/** Reasons not to believe the figures. */
const warningsOf = (results: Results): string => {
  const lines: string[] = [];
  for (const { name, targets, mockRequestsPerSecond } of results.workloads) {
    for (const target of targets) {
      // The target's answers cost the load core what a direct one costs it, and the mock is asked as often.
      if (target.requestsPerSecond.median > mockRequestsPerSecond.median * 0.8) {
        lines.push(
          `Warning: ${name}: the mock and the load generator may be what limits ${target.name}; trust its CPU, not its requests/s.`,
        );
      }
    }
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
};

const facts = (
  rounds: number,
  seconds: number,
): Pick<Results, 'time' | 'commit' | 'machine' | 'rounds' | 'seconds'> => ({
  time: new Date().toISOString(),
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim(),
  machine: { cpu: cpus()[0]!.model, cores: cpus().length, node: process.version, kernel: release() },
  rounds,
  seconds,
});

const buildPrograms = (): void => {
  const cwd = join(ROOT, 'bench', 'go');
  execFileSync('go', ['build', '-o', '../bin/', './mock', './load'], { cwd, stdio: 'inherit' });
};

const sequentially = async <T, R>(items: readonly T[], each: (item: T) => Promise<R>): Promise<R[]> => {
  const results: R[] = [];
  for (const item of items) results.push(await each(item));
  return results;
};

const bounded = (flag: string, text: string, least: number, most: number): number => {
  const value = Number(text);
  if (!(value >= least && value <= most)) throw new Error(`${flag} must be between ${least} and ${most}`);
  return value;
};

const select = <T extends { readonly name: string }>(
  flag: string,
  list: string | undefined,
  all: readonly T[],
): readonly T[] => {
  if (list === undefined) return all;
  return list.split(',').map((name) => {
    const found = all.find((one) => one.name === name.trim());
    if (!found) throw new Error(`${flag}: no "${name}"; there are: ${all.map((one) => one.name).join(', ')}`);
    return found;
  });
};

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    killAll();
    process.exit(1);
  });
}
process.on('exit', killAll);

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${(error as Error).message}\n`);
  process.exitCode = 1;
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** A program under the harness, pinned to one core. */
export interface Pinned {
  readonly pid: number;
  /** The first line of its output that matches what was waited for. */
  readonly line: string;
  /** CPU time of all its threads so far, in seconds, from /proc (10 ms steps). */
  cpuSeconds(): number;
  /** Resident memory now, in MB. */
  rssMb(): number;
  /** The end of what it wrote. */
  output(): string;
  /** SIGTERM, and SIGKILL after ten seconds. */
  stop(): Promise<void>;
}

const started = new Set<ChildProcess>();
const TICKS_PER_SECOND = 100; // USER_HZ, fixed on Linux
const START_TIMEOUT_MS = 30_000;

/** Starts a program on one core and waits for a line of its output. Throws with what it wrote when it ends or stays silent. */
export const startPinned = async (
  core: number,
  command: readonly string[],
  ready: RegExp,
  env: Record<string, string> = {},
): Promise<Pinned> => {
  const child = spawn('taskset', ['-c', String(core), ...command], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  started.add(child);
  let output = '';
  const line = Promise.withResolvers<string>();
  const note = (text: string): void => {
    output = `${output}${text}\n`.slice(-4000);
    if (ready.test(text)) line.resolve(text);
  };
  createInterface({ input: child.stdout }).on('line', note);
  createInterface({ input: child.stderr }).on('line', note);
  child.on('error', line.reject);
  child.on('exit', (code, signal) => {
    started.delete(child);
    line.reject(new Error(`${command.join(' ')} ended (${signal ?? code}):\n${output}`));
  });
  const timer = setTimeout(
    () => line.reject(new Error(`${command.join(' ')} is not ready:\n${output}`)),
    START_TIMEOUT_MS,
  );
  try {
    const text = await line.promise;
    const pid = child.pid!;
    return {
      pid,
      line: text,
      cpuSeconds: () => cpuSecondsOf(pid),
      rssMb: () => rssMbOf(pid),
      output: () => output,
      stop: () => stop(child),
    };
  } finally {
    clearTimeout(timer);
  }
};

const stop = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await exit;
  clearTimeout(timer);
};

/** Ends whatever is still running. For every exit of the harness. */
export const killAll = (): void => {
  for (const child of started) child.kill('SIGKILL');
};

/** Fields 14 and 15 of /proc/PID/stat: proc_pid_stat(5). The name before them may hold spaces. */
const cpuSecondsOf = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
};

const rssMbOf = (pid: number): number => {
  const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kb) / 1024);
};

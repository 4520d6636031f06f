import type { CallResult } from '../evaluate/journal.ts';
import { usdText } from '../evaluate/report/figures.ts';

/** Tells how far a run is. */
export interface Progress {
  result(result: CallResult): void;
  end(): void;
}

/** What is known at the start. */
export interface ProgressStart {
  /** Calls that the run makes in all, those already made included. */
  readonly total: number;
  readonly done: number;
  readonly spentMicroUsd: () => number;
  readonly budgetMicroUsd: number;
}

/** A stream that may be a terminal. */
export interface Told {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const BAR = 24;
const DRAW_EVERY_MS = 100;
const LINE_EVERY_MS = 5_000;

/** A bar on a terminal, else a line every five seconds. */
export const createProgress = (
  start: ProgressStart,
  out: Told,
  now: () => number = () => performance.now(),
): Progress => {
  const began = now();
  const isBar = out.isTTY === true;
  let { done, total } = start;
  const before = done;
  let failed = 0;
  let last = Number.NEGATIVE_INFINITY;
  const told = (): string => {
    const parts = [
      `${done}/${total} calls`,
      `${usdText(start.spentMicroUsd() / 1e6)} of ${usdText(start.budgetMicroUsd / 1e6)} USD`,
      `${failed} failed`,
    ];
    const pace = (now() - began) / (done - before);
    if (done > before && done < total) parts.push(`${timeText(pace * (total - done))} left`);
    return parts.join('  ');
  };
  const draw = (): void => {
    last = now();
    if (!isBar) return void out.write(`${told()}\n`);
    const full = total === 0 ? BAR : Math.round((done / total) * BAR);
    const line = `${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${told()}`;
    out.write(`\r\u001b[K${line.slice(0, Math.max(20, (out.columns ?? 100) - 1))}`);
  };
  draw();
  return {
    result({ error }) {
      done++;
      // Reminders to a judge are made on top of what was counted.
      total = Math.max(total, done);
      if (error !== null) failed++;
      if (now() - last >= (isBar ? DRAW_EVERY_MS : LINE_EVERY_MS)) draw();
    },
    end() {
      draw();
      if (isBar) out.write('\n');
    },
  };
};

const timeText = (ms: number): string => {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
};

/** Lets nothing through to an upstream that does not answer, but for one probe at a time once it may have recovered. */
export interface Circuit {
  state(now: number): 'closed' | 'open' | 'half_open';
  /**
   * Whether a request may go: as any other, as the probe, or not at all. Each probe ends in exactly one of the three
   * below.
   */
  enter(now: number): 'pass' | 'probe' | 'stop';
  /** It does not answer. */
  open(now: number): void;
  /** The probe was answered. */
  close(now: number): void;
  /** The probe failed: open again, for longer. */
  reopen(now: number): void;
  /** The probe told nothing: its caller left, or it was never sent. */
  release(): void;
  /** Milliseconds until a request may be let through. */
  waitMs(now: number): number;
}

/** The first pause; each failed probe doubles it … */
export const OPEN_MS = 10_000;
/** … up to this. */
export const MAX_OPEN_MS = 60_000;
/** What a caller is told to wait while a probe is under way. */
const PROBE_WAIT_MS = 1_000;

/** Creates a closed circuit that pauses for `openMs` at first. Times are milliseconds of one monotonic clock. */
export const createCircuit = (openMs: number = OPEN_MS): Circuit => {
  let isOpen = false;
  let until = 0;
  let pauseMs = openMs;
  let isProbing = false;

  const start = (now: number): void => {
    isOpen = true;
    isProbing = false;
    until = now + pauseMs;
  };

  return {
    state: (now) => (isOpen ? (now < until ? 'open' : 'half_open') : 'closed'),
    enter(now) {
      if (!isOpen) return 'pass';
      if (now < until || isProbing) return 'stop';
      isProbing = true;
      return 'probe';
    },
    open(now) {
      if (isOpen) return;
      pauseMs = openMs;
      start(now);
    },
    close() {
      isOpen = false;
      isProbing = false;
    },
    reopen(now) {
      pauseMs = Math.min(pauseMs * 2, MAX_OPEN_MS);
      start(now);
    },
    release() {
      isProbing = false;
    },
    waitMs: (now) => (!isOpen ? 0 : now < until ? until - now : isProbing ? PROBE_WAIT_MS : 0),
  };
};

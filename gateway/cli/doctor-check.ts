/** One thing that `aegis doctor` looked at. */
export interface Check {
  /** What, such as `home` or `upstream openai`. */
  readonly check: string;
  /** `problem`: the gateway will not work as configured; `warning`: it will, but look at it. */
  readonly status: 'ok' | 'warning' | 'problem';
  /** What was found, one line. */
  readonly found: string;
  /** What to do, one line; null where there is nothing to do. */
  readonly fix: string | null;
}

/** A check that found nothing to mend. */
export const ok = (check: string, found: string): Check => ({ check, status: 'ok', found, fix: null });

/** A check that found something that works all the same. */
export const warning = (check: string, found: string, fix: string): Check => ({ check, status: 'warning', found, fix });

/** A check that found what must be mended. */
export const problem = (check: string, found: string, fix: string): Check => ({ check, status: 'problem', found, fix });

/** The sentence of a thrown value, on one line. */
export const sentenceOf = (error: unknown): string => {
  const { message, code } = (error ?? {}) as { message?: unknown; code?: unknown };
  const text = typeof message === 'string' && message !== '' ? message : String(code ?? error);
  return text.replaceAll(/\s+/g, ' ').slice(0, 300);
};

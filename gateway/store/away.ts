/** A SQLSTATE: the server answered. */
const ANSWER = /^[0-9A-Z]{5}$/;
/** Answers that say that the server is no more, or not yet, there (class 08, 53300, 57P01 to 57P03). */
const GOING = /^(?:08...|53300|57P0[123])$/;

/** Whether an error is a server's answer to what it was asked; what is none leaves a connection in doubt. */
export const isAnswer = (error: unknown): boolean => {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && ANSWER.test(code);
};

/** Errors of pg that have no code. */
const LOST = /timeout|Connection terminated|Connection ended|not queryable|Client was closed/i;

/** Whether an error says that Postgres cannot be reached now: waiting may help, and nothing is known of what it holds. */
export const isAway = (error: unknown): boolean => {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code !== 'string') return LOST.test(String(message));
  return isAnswer(error) ? GOING.test(code) : /^E[A-Z_]+$/.test(code);
};

/** A failure that people can mend: the program prints its message and no stack. */
export class CliError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
  }
}

/** An action whose plain Errors (a missing file, the compiler's findings) reach people as a sentence; bugs keep their stack. */
export const forPeople =
  <A extends unknown[]>(action: (...args: A) => Promise<void>) =>
  async (...args: A): Promise<void> => {
    try {
      await action(...args);
    } catch (error) {
      const { name, message } = (error ?? {}) as { name?: unknown; message?: unknown };
      if (name === 'Error' && typeof message === 'string') throw new CliError(message, { cause: error });
      throw error;
    }
  };

import { jest } from '@jest/globals';
import type { Command } from 'commander';

/** Runs a command as the program does; what it prints, whole. */
export const runCommand = async (command: Command, ...args: string[]): Promise<string> => {
  const printed: string[] = [];
  const log = jest.spyOn(console, 'log').mockImplementation((line: unknown) => void printed.push(`${String(line)}\n`));
  const write = jest.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
  const quiet = (each: Command): void => {
    each.exitOverride().configureOutput({ writeErr: () => undefined });
    each.commands.forEach(quiet);
  };
  quiet(command);
  try {
    await command.parseAsync(args, { from: 'user' });
  } finally {
    log.mockRestore();
    write.mockRestore();
  }
  return printed.join('');
};

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { isGatewayError } from '../errors.ts';
import { auditCommand } from './audit.ts';
import { buildCommand } from './build.ts';
import { checkCommand } from './check.ts';
import { doctorCommand } from './doctor.ts';
import { evalCommand } from './eval.ts';
import { experimentCommand } from './experiment.ts';
import { explainCommand } from './explain.ts';
import { initCommand } from './init.ts';
import { keysCommand } from './keys.ts';
import { newCommand } from './new.ts';
import { replayCommand } from './replay.ts';
import { reportCommand } from './report.ts';
import { rolloutCommand } from './rollout.ts';
import { serveCommand } from './serve.ts';
import { signCommand } from './sign.ts';
import { testCommand } from './test.ts';
import { verifyCommand } from './verify.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const COMMANDS = [
  serveCommand,
  initCommand,
  doctorCommand,
  newCommand,
  checkCommand,
  testCommand,
  buildCommand,
  signCommand,
  verifyCommand,
  replayCommand,
  rolloutCommand,
  explainCommand,
  keysCommand,
  reportCommand,
  experimentCommand,
  evalCommand,
  auditCommand,
];

/** Runs the command line. Exit 0 good, 1 a finding or a failure, 2 wrong usage. */
export const runProgram = async (argv: readonly string[]): Promise<void> => {
  const program = new Command('aegis')
    .description('An LLM gateway whose every decision is a policy file.')
    .version(version)
    .showHelpAfterError('(--help tells more)')
    .configureHelp({ sortSubcommands: false });
  for (const command of COMMANDS) program.addCommand(command());
  throwOnUsage(program);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    const { message, name, stack } = error as { message?: string; name?: string; stack?: string };
    // What people can mend is said in a sentence; a bug shows where it is.
    const expected = isGatewayError(error) || name === 'ConfigError' || name === 'CliError';
    process.stderr.write(`aegis: ${expected ? message : (stack ?? String(error))}\n`);
    process.exitCode = 1;
  }
};

const throwOnUsage = (command: Command): void => {
  command.exitOverride();
  for (const child of command.commands) throwOnUsage(child);
};

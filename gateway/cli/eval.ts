import { Command } from 'commander';
import { evalPublishCommand } from './eval-publish.ts';
import { evalRunCommand } from './eval-run.ts';
import { evalShowCommand } from './eval-show.ts';

/** `aegis eval`: measures models on one's own tasks, through the gateway, and makes the results policy data. */
export const evalCommand = (): Command =>
  new Command('eval')
    .description('compare models on a suite of tasks; publish what was measured as policy data')
    .addCommand(evalRunCommand())
    .addCommand(evalShowCommand())
    .addCommand(evalPublishCommand());

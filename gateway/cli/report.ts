import { Command } from 'commander';
import { reconcileCommand } from './report-reconcile.ts';
import { usageCommand } from './report-usage.ts';

/** `aegis report`: what was used and what it cost, from the audit log, with the gateway running or not. */
export const reportCommand = (): Command =>
  new Command('report')
    .description('what was used, by whom, and what it cost')
    .addCommand(usageCommand())
    .addCommand(reconcileCommand());

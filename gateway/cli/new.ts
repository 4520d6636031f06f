import { Command } from 'commander';
import { newRuleCommand } from './new-rule.ts';

/** `aegis new`: files to start from. */
export const newCommand = (): Command =>
  new Command('new').description('make the files of a new part of the policies').addCommand(newRuleCommand());

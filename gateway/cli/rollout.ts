import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { CHECKOUT } from '../policy/compiler.ts';
import type { Rollout, RolloutGuards, RolloutStep } from '../types.gen.ts';
import { forPeople } from './cli-error.ts';
import { changeRollout, type EditFlags, nameIn } from './rollout-change.ts';
import { toStable, toStage, withoutCandidate } from './rollout-edit.ts';
import { parseGuard, parseHold, parseNext, parsePercent } from './rollout-parse.ts';
import { rolloutStatusCommand } from './rollout-status.ts';
import { nothingToTakeBack, promoted, staged, takenBack } from './rollout-words.ts';
import { withStoreFlags } from './store-place.ts';

interface StageFlags extends EditFlags {
  by?: Rollout['by'];
  hold?: number;
  next?: RolloutStep[];
  guard?: RolloutGuards;
  retry?: true;
}

/** `aegis rollout`: what gateways converge on, and where they are. */
export const rolloutCommand = (): Command =>
  new Command('rollout')
    .description('bring a new bundle to the gateways by degrees, take it back, and see where it is')
    .addCommand(rolloutStatusCommand())
    .addCommand(shadowCommand())
    .addCommand(canaryCommand())
    .addCommand(fullCommand())
    .addCommand(promoteCommand())
    .addCommand(rollbackCommand());

const withEditFlags = (command: Command): Command =>
  withStoreFlags(
    command
      .option('--bundles <folder>', 'folder of rollout.yaml and the bundles', join(CHECKOUT, 'bundles'))
      .option('--key <pem...>', 'public keys that may sign (default: keys/*.pub.pem of that folder)')
      .option('--dry-run', 'show the change and write nothing')
      .option('--json', 'print JSON'),
  );

const withStageFlags = (command: Command): Command =>
  withEditFlags(
    command
      .option('--hold <time>', 'how long the stage must last before the next one, such as 15m', parseHold)
      .option('--next <steps>', 'what follows by itself, such as canary:5,canary:25@1h,full', parseNext)
      .addOption(
        new Option('--by <what>', 'what stays on one side of a canary').choices(['org', 'user', 'session', 'request']),
      )
      .option('--guard <name=value>', 'a guard of schemas/rollout.json, or off; several times', parseGuard)
      .option('--retry', 'try again what was rolled back, as another attempt'),
  );

const shadowCommand = (): Command =>
  withStageFlags(new Command('shadow'))
    .description('a candidate decides beside stable, without effect')
    .argument('[file]', 'its bundle, in the folder of rollout.yaml (default: the present candidate)')
    .action(forPeople((file: string | undefined, flags: StageFlags) => stage('shadow', undefined, file, flags)));

const canaryCommand = (): Command =>
  withStageFlags(new Command('canary'))
    .description('a candidate decides a share of the requests')
    .argument('[percent]', 'the share (default: the present one, else 5)', parseShareOrFile)
    .argument('[file]', 'its bundle (default: the present candidate)')
    .action(
      forPeople((first: number | string | undefined, second: string | undefined, flags: StageFlags) =>
        typeof first === 'string' ? stage('canary', undefined, first, flags) : stage('canary', first, second, flags),
      ),
    );

/** The share may be left out before a file. */
const parseShareOrFile = (text: string): number | string => (/^[\d.]+%?$/.test(text) ? parsePercent(text) : text);

const fullCommand = (): Command =>
  withStageFlags(new Command('full'))
    .description('the candidate decides all requests, with stable held ready')
    .argument('[file]', 'its bundle (default: the present candidate)')
    .action(forPeople((file: string | undefined, flags: StageFlags) => stage('full', undefined, file, flags)));

const promoteCommand = (): Command =>
  withEditFlags(new Command('promote'))
    .description('the candidate becomes the stable bundle')
    .action(forPeople((flags: EditFlags) => changeRollout(flags, toStable, promoted)));

const rollbackCommand = (): Command =>
  withEditFlags(new Command('rollback'))
    .description('take the candidate out; stable stays as it is')
    .action(
      forPeople((flags: EditFlags) =>
        changeRollout(
          flags,
          ({ document }) => withoutCandidate(document),
          (change) => (change.before.candidate === undefined ? nothingToTakeBack(change) : takenBack(change)),
        ),
      ),
    );

const stage = async (
  to: NonNullable<Rollout['stage']>,
  percent: number | undefined,
  file: string | undefined,
  { by, hold, next, guard, retry, ...flags }: StageFlags,
): Promise<void> => {
  const folder = resolve(flags.bundles);
  const candidate = file === undefined ? undefined : nameIn(folder, file);
  const change = { stage: to, candidate, percent, by, holdS: hold, next, guards: guard, isRetry: retry };
  await changeRollout(flags, (rollout) => toStage(rollout, change), staged);
};

import { InvalidArgumentError } from 'commander';
import { readSchema } from '../schema.ts';
import type { RolloutGuards, RolloutStep } from '../types.gen.ts';
import { parseDuration } from './duration.ts';

const SCHEMA = readSchema('rollout') as { properties: { guards: { properties: Record<string, object> } } };
const GUARDS = Object.keys(SCHEMA.properties.guards.properties);

/** Seconds of a time such as 15m. Throws InvalidArgumentError. */
export const parseHold = (text: string): number => {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write a time such as 90s, 15m or 2h.');
  return ms / 1000;
};

/** A share in percent, above 0 and up to 100. Throws InvalidArgumentError. */
export const parsePercent = (text: string): number => {
  const percent = Number(/^(\d{1,3}(?:\.\d{1,6})?)%?$/.exec(text)?.[1]);
  if (!(percent > 0 && percent <= 100)) throw new InvalidArgumentError('Write a share in percent, such as 5 or 0.5.');
  return percent;
};

/** Steps such as `canary:5,canary:25@1h,full`: a stage, its percent, and how long it is held. Throws InvalidArgumentError. */
export const parseNext = (text: string): RolloutStep[] =>
  text.split(',').map((part) => {
    const match = /^(?:(full)|canary:([\d.]+))(?:@(\w+))?$/.exec(part.trim());
    if (!match) {
      throw new InvalidArgumentError(
        `“${part.trim()}” is no step: write canary:PERCENT or full, with @TIME where it is held otherwise: canary:5,canary:25@1h,full.`,
      );
    }
    const [, full, percent, hold] = match;
    return {
      stage: full === undefined ? 'canary' : 'full',
      ...(percent !== undefined && { percent: parsePercent(percent) }),
      ...(hold !== undefined && { hold_s: parseHold(hold) }),
    };
  });

/** Adds `NAME=VALUE`, or `NAME=off`, to the guards. Throws InvalidArgumentError. */
export const parseGuard = (text: string, given: RolloutGuards = {}): RolloutGuards => {
  const [, name = '', value = ''] = /^(\w+)=(.+)$/.exec(text) ?? [];
  if (!GUARDS.includes(name)) throw new InvalidArgumentError(`Write NAME=VALUE; guards are ${GUARDS.join(', ')}.`);
  const number = value === 'off' ? null : Number(value);
  if (Number.isNaN(number)) throw new InvalidArgumentError(`${name} takes a number, or off.`);
  return { ...given, [name]: number };
};

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from '@jest/globals';

// The seams: what each folder of gateway/ may import. `base` are the files right in gateway/ and the wire formats.
const SEAMS = ['policy', 'upstream', 'limit', 'redact', 'audit', 'store', 'alerts', 'identity', 'telemetry'];
/** What everybody may know of a seam: its interface. */
const INTERFACES = [
  'policy/policy.ts',
  'upstream/upstream.ts',
  'limit/limiter.ts',
  'redact/redactor.ts',
  'audit/audit-log.ts',
  'store/key-store.ts',
  'store/feedback-book.ts',
  'alerts/alerts.ts',
  'identity/token-verifier.ts',
  'telemetry/telemetry.ts',
];
/** Pure functions about an upstream's answer, which forward and respond need to judge it. */
const JUDGEMENTS = ['upstream/classify.ts', 'upstream/headers.ts', 'upstream/litellm.ts'];
/** Folders that join seams and may import all; replay is imported by the other two alone. */
const JOINING = ['replay', 'admin', 'cli'];
/** Files of gateway/ that join seams and may import all. */
const JOINERS = ['main.ts', 'wire.ts', 'ledger-worker.ts'];

const files = (folder: string): string[] =>
  readdirSync(join('gateway', folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return files(path);
    return path.endsWith('.ts') ? [path] : [];
  });

const importsOf = (file: string): { target: string; isType: boolean }[] =>
  [
    ...readFileSync(join('gateway', file), 'utf8').matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from '(\.[^']+)';/gms),
  ].map(([, type, target]) => ({
    target: normalize(join(dirname(file), target as string)),
    isType: type !== undefined,
  }));

const folderOf = (file: string): string => (file.includes('/') ? (file.split('/')[0] as string) : 'base');

const mayImport = (file: string, target: string, isType: boolean): boolean => {
  const from = folderOf(file);
  const to = folderOf(target);
  if (from === to || JOINERS.includes(file) || from === 'cli' || from === 'admin') return true;
  if (JOINING.includes(to)) return false;
  // Judges what the store knows by the statistics of evaluations.
  if (from === 'experiments') return to === 'store' || target.startsWith('evaluate/statistics/') || to === 'base';
  if (from === 'replay') return !JOINERS.includes(target);
  if (to === 'base' || to === 'protocol') return !JOINERS.includes(target);
  // Explains decisions of the audit by the bundles that made them.
  if (from === 'explain') return ['audit', 'policy', 'store'].includes(to) || target === 'stages/ids.ts';
  // Base knows interfaces, and walks the stages.
  if (from === 'base') return INTERFACES.includes(target) || to === 'stages' || (isType && target === 'store/keys.ts');
  // Draws tasks from the audit log, and takes the same kind of lock; its statistics and its report stand alone.
  if (from === 'evaluate') return to === 'audit';
  // The shapes that gateways share of a rollout, which the store keeps.
  if (from === 'store') return isType && target === 'policy/rollout-state.ts';
  if (from === 'stages') return INTERFACES.includes(target) || JUDGEMENTS.includes(target);
  return false;
};

describe('the seams', () => {
  const all = files('');

  test.each(SEAMS)('%s imports base and itself alone', (seam) => {
    const crossing = all
      .filter((file) => folderOf(file) === seam)
      .flatMap((file) =>
        importsOf(file)
          .filter(({ target, isType }) => !mayImport(file, target, isType))
          .map(({ target }) => `${file} → ${target}`),
      );
    expect(crossing).toEqual([]);
  });

  test('explain imports audit, policy and store beside base and itself', () => {
    const crossing = all
      .filter((file) => folderOf(file) === 'explain')
      .flatMap((file) => importsOf(file).filter(({ target, isType }) => !mayImport(file, target, isType)));
    expect(crossing).toEqual([]);
  });

  test('evaluate imports audit beside base and itself', () => {
    const crossing = all
      .filter((file) => folderOf(file) === 'evaluate')
      .flatMap((file) =>
        importsOf(file)
          .filter(({ target, isType }) => !mayImport(file, target, isType))
          .map(({ target }) => `${file} → ${target}`),
      );
    expect(crossing).toEqual([]);
  });

  test('statistics import nothing but each other', () => {
    const crossing = all
      .filter((file) => file.startsWith('evaluate/statistics/'))
      .flatMap((file) => importsOf(file).map(({ target }) => target))
      .filter((target) => !target.startsWith('evaluate/statistics/'));
    expect(crossing).toEqual([]);
  });

  test('stages, protocol and base know interfaces, never implementations', () => {
    const crossing = all
      .filter((file) => ['stages', 'protocol', 'base'].includes(folderOf(file)))
      .flatMap((file) =>
        importsOf(file)
          .filter(({ target, isType }) => !mayImport(file, target, isType))
          .map(({ target }) => `${file} → ${target}`),
      );
    expect(crossing).toEqual([]);
  });

  test('experiments import base, the store and statistics', () => {
    const crossing = all
      .filter((file) => folderOf(file) === 'experiments')
      .flatMap((file) =>
        importsOf(file)
          .filter(({ target, isType }) => !mayImport(file, target, isType))
          .map(({ target }) => `${file} → ${target}`),
      );
    expect(crossing).toEqual([]);
  });

  test('replay joins seams, and knows neither the command line nor the control plane', () => {
    const crossing = all
      .filter((file) => folderOf(file) === 'replay')
      .flatMap((file) =>
        importsOf(file)
          .filter(({ target, isType }) => !mayImport(file, target, isType))
          .map(({ target }) => `${file} → ${target}`),
      );
    expect(crossing).toEqual([]);
  });

  test('every import is of a file that exists', () => {
    for (const file of all)
      for (const { target } of importsOf(file)) if (target.endsWith('.ts')) expect(all).toContain(target);
  });
});

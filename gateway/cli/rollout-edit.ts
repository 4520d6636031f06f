import type { Document, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import type { Rollout, RolloutGuards, RolloutStep } from '../types.gen.ts';
import { CliError } from './cli-error.ts';
import type { RolloutFile } from './rollout-file.ts';

type Stage = NonNullable<Rollout['stage']>;

/** What a person asks of a candidate. What is left out stays as it is, where the candidate stays. */
export interface StageChange {
  readonly stage: Stage;
  /** Its file, in the folder of the rollout.yaml. */
  readonly candidate?: string | undefined;
  readonly percent?: number | undefined;
  readonly by?: Rollout['by'];
  readonly holdS?: number | undefined;
  readonly next?: readonly RolloutStep[] | undefined;
  readonly guards?: RolloutGuards | undefined;
  /** Try again what was rolled back: the attempt after the one that the file has. */
  readonly isRetry?: boolean | undefined;
}

/** All that a rollout.yaml says of a candidate, in the order in which it is written. */
const CANDIDATE_FIELDS = [
  'candidate',
  'stage',
  'percent',
  'by',
  'hold_s',
  'next',
  'guards',
  'compare_cpu_share',
  'attempt',
] as const satisfies readonly (keyof Rollout)[];

/** Percent of a canary that nobody has given. */
const DEFAULT_PERCENT = 5;
const ORDER: readonly Stage[] = ['shadow', 'canary', 'full'];

/**
 * Brings a candidate to a stage. Steps of `next` that are no further than it are dropped. A candidate in another's place
 * keeps its guards and what requests are drawn by, not its plan. Throws CliError when there is no candidate.
 */
export const toStage = ({ name, document, desired }: RolloutFile, change: StageChange): void => {
  const candidate = change.candidate ?? desired.candidate;
  if (candidate === undefined) {
    throw new CliError(`${name} names no candidate: ./aegis rollout shadow FILE.tar.gz, with its bundle`);
  }
  if (candidate === desired.stable) {
    throw new CliError(
      `${candidate} is the stable bundle: build the candidate with ./aegis build -o bundles/NAME.tar.gz`,
    );
  }
  const kept: Partial<Rollout> = candidate === desired.candidate ? desired : {};
  const percent = change.stage === 'canary' ? (change.percent ?? kept.percent ?? DEFAULT_PERCENT) : undefined;
  const furthest = progressOf(change.stage, percent);
  const next = (change.next ?? kept.next ?? []).filter(
    (step) => change.next !== undefined || progressOf(step.stage, step.percent ?? kept.percent) > furthest,
  );
  const attempt = change.isRetry ? (kept.attempt ?? 1) + 1 : kept.attempt;
  const fields: { [Field in (typeof CANDIDATE_FIELDS)[number]]: Rollout[Field] | undefined } = {
    candidate,
    stage: change.stage,
    percent,
    by: change.by ?? desired.by,
    hold_s: change.holdS ?? kept.hold_s,
    next: next.length > 0 ? [...next] : undefined,
    guards: change.guards === undefined ? desired.guards : { ...desired.guards, ...change.guards },
    compare_cpu_share: desired.compare_cpu_share,
    attempt,
  };
  for (const field of CANDIDATE_FIELDS) setField(document, field, fields[field], desired[field]);
};

/** Makes the candidate the stable bundle. Throws CliError when there is none. */
export const toStable = ({ name, document, desired }: RolloutFile): void => {
  if (desired.candidate === undefined) {
    throw new CliError(`${name} names no candidate, so there is nothing to promote; ${desired.stable} is stable`);
  }
  document.set('stable', desired.candidate);
  withoutCandidate(document);
};

/** Takes the candidate out, with all that is said of it. */
export const withoutCandidate = (document: Document): void => {
  for (const field of CANDIDATE_FIELDS) document.delete(field);
};

/** How far a stage is, to compare. */
const progressOf = (stage: Stage, percent = DEFAULT_PERCENT): number =>
  ORDER.indexOf(stage) * 1_000 + (stage === 'canary' ? percent : 0);

const setField = (document: Document, field: string, value: unknown, present: unknown): void => {
  if (JSON.stringify(value) === JSON.stringify(present)) return; // With its comments, and as it is written.
  if (value === undefined) document.delete(field);
  else if (present === undefined) insertField(document, field, value);
  else document.set(field, nodeOf(document, value));
};

/** Behind the fields that come before it. */
const insertField = (document: Document, field: string, value: unknown): void => {
  const { items } = document.contents as YAMLMap;
  const before: readonly unknown[] = ['$schema', 'stable', ...CANDIDATE_FIELDS.slice(0, placeOf(field))];
  const last = items.findLastIndex(({ key }) => before.includes((key as Scalar).value));
  items.splice(last + 1, 0, document.createPair(field, nodeOf(document, value)));
};

const placeOf = (field: string): number => (CANDIDATE_FIELDS as readonly string[]).indexOf(field);

/** A list has a line an entry. */
const nodeOf = (document: Document, value: unknown): unknown => {
  if (!Array.isArray(value)) return typeof value === 'object' ? document.createNode(value) : value;
  const node = document.createNode(value) as YAMLSeq;
  for (const item of node.items as YAMLMap[]) item.flow = true;
  return node;
};

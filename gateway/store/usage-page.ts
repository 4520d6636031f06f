import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Dimension } from './dimensions.ts';
import { moversOf, reportJson } from './report.ts';
import { rangeBefore } from './report-range.ts';
import type { Schema } from './schema.ts';
import { type DayRange, queryUsage, type UsageGroup } from './usage.ts';

/** What is asked of a report that is read page by page. */
export interface UsageQuestion {
  readonly by: readonly Dimension[];
  readonly range: DayRange;
  /** Null: all organisations. */
  readonly org: string | null;
  /** Whether to compare with the period of the same length before. */
  readonly movers: boolean;
  /** Groups of a page. */
  readonly limit: number;
  /** The mark of the last group of the page before. */
  readonly after: string | null;
}

/** One page of `reportJson`; the total and the movers are of the whole report. */
export interface UsagePage {
  readonly report: Record<string, unknown>;
  /** The mark of its last group; null when no group follows. */
  readonly next: string | null;
}

/**
 * Reads a page. A group is marked by what it is and not by its place, so that pages go on where they were though costs
 * grow in between. Throws RangeError for a mark that no group of the report has.
 */
export const readUsagePage = async (db: Kysely<Schema>, question: UsageQuestion): Promise<UsagePage> => {
  const { by, range, limit } = question;
  const filter = question.org === null ? {} : { org: question.org };
  const { groups, total } = await queryUsage(db, by, range, filter);
  const from = question.after === null ? 0 : placeAfter(groups, question, question.after);
  const page = groups.slice(from, from + limit);
  const movers = question.movers
    ? moversOf({ groups, total }, await queryUsage(db, by, rangeBefore(range), filter))
    : undefined;
  const last = page.at(-1);
  return {
    report: reportJson({ dimensions: by, range, groups: page, total }, movers),
    next: last !== undefined && from + limit < groups.length ? markOf(question, last) : null,
  };
};

const placeAfter = (groups: readonly UsageGroup[], question: UsageQuestion, mark: string): number => {
  const index = groups.findIndex((group) => markOf(question, group) === mark);
  if (index < 0) throw new RangeError('no group of the report has this mark');
  return index + 1;
};

const markOf = ({ by, org }: UsageQuestion, { keys }: UsageGroup): string =>
  hash('sha256', JSON.stringify([org, by, keys]), 'base64url').slice(0, 22);

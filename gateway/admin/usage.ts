import { GatewayError } from '../errors.ts';
import { type Dimension, parseDimensions } from '../store/dimensions.ts';
import { parseRange } from '../store/report-range.ts';
import type { DayRange } from '../store/usage.ts';
import type { Answer, Operation } from './admin-operation.ts';
import { readQuery } from './query.ts';

const DEFAULT_LIMIT = 100;
const MOST_LISTED = 1_000;
/** Each further one multiplies the groups. */
const MOST_DIMENSIONS = 8;
const NO_KEY = { team: '', user: '', roles: [], groups: [], workflows: [] };

/**
 * GET /admin/v1/usage: what `aegis report usage` tells. `by`, `since` and `until` (UTC days, or for `since` a number of
 * days such as 7d), `org`, `movers` (true), `limit`, `cursor`.
 */
export const readUsage = async (operation: Operation): Promise<Answer> => {
  const query = readQuery(operation.query, ['by', 'since', 'until', 'org', 'movers', 'limit', 'cursor']);
  const org = query.text('org');
  if (org !== undefined && org !== operation.org) operation.permit({ ...NO_KEY, org });
  const by = dimensionsOf(query.text('by') ?? 'org');
  const cursor = query.text('cursor');
  const asked = rangeOf(query.text('since') ?? '30d', query.text('until'));
  const place = cursor === undefined ? undefined : placeOf(cursor);
  // The days of the first page hold for those that follow, also after midnight.
  const range = place?.range ?? asked;
  const { report, next } = await reported(
    operation.usage.page({
      by,
      range,
      org: org ?? operation.org,
      movers: query.oneOf('movers', ['true', 'false']) === 'true',
      limit: query.integer('limit', 1, MOST_LISTED) ?? DEFAULT_LIMIT,
      after: place?.mark ?? null,
    }),
  );
  const { groups: data, ...rest } = report;
  const nextCursor = next === null ? null : cursorOf(range, next);
  return { status: 200, body: { ...rest, data, has_more: nextCursor !== null, next_cursor: nextCursor } };
};

const invalid = (param: string, message: string): GatewayError => new GatewayError('invalid_field', message, { param });

const dimensionsOf = (text: string): Dimension[] => {
  let dimensions: Dimension[];
  try {
    dimensions = parseDimensions(text);
  } catch (error) {
    throw invalid('by', `by: ${(error as RangeError).message}.`);
  }
  if (dimensions.length > MOST_DIMENSIONS) throw invalid('by', `by takes ${MOST_DIMENSIONS} dimensions at most.`);
  return dimensions;
};

const rangeOf = (since: string, until: string | undefined): DayRange => {
  try {
    return parseRange(since, until, Date.now(), { since: 'since', until: 'until' });
  } catch (error) {
    const { message } = error as RangeError;
    throw invalid(message.startsWith('until') ? 'until' : 'since', `${message}.`);
  }
};

/** What the reports say of a question, as an answer. */
const reported = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    const { trouble } = (error ?? {}) as { trouble?: unknown };
    if (trouble === 'cursor') throw unknownCursor();
    if (trouble === 'too_large') {
      throw invalid('by', 'The report has too many groups: ask for fewer dimensions, fewer days or one organisation.');
    }
    throw new GatewayError('store_unavailable', 'The ledger cannot be read now.', { cause: error });
  }
};

const unknownCursor = (): GatewayError => invalid('cursor', 'cursor is not one that this report has given.');

const cursorOf = ({ firstDay, lastDay }: DayRange, mark: string): string =>
  Buffer.from(`${firstDay} ${lastDay} ${mark}`).toString('base64url');

const placeOf = (cursor: string): { range: DayRange; mark: string } => {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const [, firstDay = '', lastDay = '', mark = ''] = /^(\S{10}) (\S{10}) ([\w-]{22})$/.exec(text) ?? [];
  if (mark === '') throw unknownCursor();
  try {
    return { range: parseRange(firstDay, lastDay, Date.now()), mark };
  } catch {
    throw unknownCursor();
  }
};

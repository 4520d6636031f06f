import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import type { Input } from '../types.gen.ts';
import type { Database } from './database.ts';
import type { Schema } from './schema.ts';

type Scope = Input['spend'][number]['scope'];

const DAY_MS = 86_400_000;

/**
 * What a subject has spent in [fromMs, toMs) by the ledger, micro-USD, at once. Whole UTC days come from the roll-ups,
 * the hours before and after them from the single requests.
 *
 * Subjects are formed as the policies form them: org `<org>`, key its id, all others inside their organisation: team
 * `<org>/<team>`, user `<org>/<user>`, group `<org>/<group>`, workflow `<org>/<workflow>`, use_case `<org>/<use_case>`,
 * tag `<org>/<tag>=<value>`. An organisation's name has no slash. Throws RangeError on a subject of another form,
 * because a budget that history cannot find would start anew at each restart.
 */
export const spentSince = (database: Database, scope: Scope, subject: string, fromMs: number, toMs: number): number => {
  const filter = filterOf(scope, subject);
  const firstDay = Math.ceil(fromMs / DAY_MS) * DAY_MS;
  const endDay = Math.max(firstDay, Math.floor(toMs / DAY_MS) * DAY_MS);
  let spent = sumRequests(database, filter, fromMs, Math.min(firstDay, toMs));
  if (endDay > firstDay) spent += sumDays(database, filter, scope, dayOf(firstDay), dayOf(endDay));
  return spent + sumRequests(database, filter, endDay, toMs);
};

/** A condition on the columns that `usage` and the roll-ups share. */
type Filter = (eb: ExpressionBuilder<Schema, 'usage'>) => Expression<SqlBool>;

const filterOf = (scope: Scope, subject: string): Filter => {
  if (scope === 'key') return (eb) => eb('key_id', '=', subject);
  if (scope === 'org') return (eb) => eb('org', '=', subject);
  const slash = subject.indexOf('/');
  const [org, name] = [subject.slice(0, slash), subject.slice(slash + 1)];
  const equals = name.indexOf('=');
  if (slash < 1 || (scope === 'tag' && equals < 1)) {
    throw new RangeError(`the ${scope} subject "${subject}" is not <org>/<${scope === 'tag' ? 'tag>=<value' : scope}>`);
  }
  switch (scope) {
    case 'team':
      return (eb) => eb.and([eb('org', '=', org), eb('team', '=', name)]);
    case 'user':
      return (eb) => eb.and([eb('org', '=', org), eb('user_id', '=', name)]);
    case 'workflow':
      return (eb) => eb.and([eb('org', '=', org), eb('workflow', '=', name)]);
    case 'use_case':
      return (eb) => eb.and([eb('org', '=', org), eb('use_case', '=', name)]);
    case 'group':
      return (eb) => eb.and([eb('org', '=', org), hasLabel(eb, 'group', name, '')]);
    case 'tag':
      return (eb) => eb.and([eb('org', '=', org), hasLabel(eb, 'tag', name.slice(0, equals), name.slice(equals + 1))]);
  }
};

const hasLabel = (
  eb: ExpressionBuilder<Schema, 'usage'>,
  kind: 'tag' | 'group',
  name: string,
  value: string,
): Expression<SqlBool> =>
  eb(
    'labels',
    'in',
    eb
      .selectFrom('labels as member')
      .select('member.set_id')
      .where('member.kind', '=', kind)
      .where('member.name', '=', name)
      .where('member.value', '=', value),
  );

const sumRequests = (database: Database, filter: Filter, fromMs: number, toMs: number): number => {
  if (toMs <= fromMs) return 0;
  const query = database.db
    .selectFrom('usage')
    .select(sql<number>`coalesce(sum(cost_micro_usd), 0)`.as('spent'))
    .where(filter)
    .where('time_ms', '>=', fromMs)
    .where('time_ms', '<', toMs);
  return Number(database.querySync(query)[0]?.spent ?? 0);
};

const sumDays = (database: Database, filter: Filter, scope: Scope, fromDay: string, toDay: string): number => {
  const table = scope === 'user' || scope === 'key' ? 'usage_user_daily' : 'usage_daily';
  const query = database.db
    .selectFrom(table)
    .select(sql<number>`coalesce(sum(cost_micro_usd), 0)`.as('spent'))
    .where((eb) => filter(eb as unknown as ExpressionBuilder<Schema, 'usage'>))
    .where('period', '>=', fromDay)
    .where('period', '<', toDay);
  return Number(database.querySync(query)[0]?.spent ?? 0);
};

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

import { type Expression, type ExpressionBuilder, type Kysely, type SqlBool, sql } from 'kysely';
import { MIRROR_TAG } from '../mirror-tag.ts';
import type { Input } from '../types.gen.ts';
import type { Database } from './database.ts';
import type { Schema } from './schema.ts';
import { storable } from './storable.ts';

type Scope = Input['spend'][number]['scope'];

const DAY_MS = 86_400_000;

/**
 * What a subject has spent in [fromMs, toMs) by an embedded ledger, micro-USD, at once. Whole UTC days come from the
 * roll-ups, the hours before and after them, and what is not in the roll-ups yet, from the single requests.
 *
 * Subjects are formed as the policies form them: org `<org>`, key its id, all others inside their organisation: team
 * `<org>/<team>`, user `<org>/<user>`, group `<org>/<group>`, workflow `<org>/<workflow>`, use_case `<org>/<use_case>`,
 * tag `<org>/<tag>=<value>`. An organisation's name has no slash. Throws RangeError on a subject of another form,
 * because a budget that history cannot find would start anew at each restart; TypeError on Postgres.
 */
export const spentSince = (database: Database, scope: Scope, subject: string, fromMs: number, toMs: number): number =>
  Number(database.querySync({ compile: () => spentQuery(database.db, scope, subject, fromMs, toMs) })[0]?.spent ?? 0);

/** The same from any store, and a promise: Postgres answers nothing at once. */
export const querySpent = async (
  { db }: Pick<Database, 'db'>,
  scope: Scope,
  subject: string,
  fromMs: number,
  toMs: number,
): Promise<number> => {
  const { rows } = await db.executeQuery(spentQuery(db, scope, subject, fromMs, toMs));
  return Number(rows[0]?.spent ?? 0);
};

/**
 * One statement, so that it sees one moment. What mirrors cost is in the budgets of their own tags alone, as it was while
 * the gateway ran: the roll-ups hold it with everything else, so it is taken off.
 */
const spentQuery = (db: Kysely<Schema>, scope: Scope, subject: string, fromMs: number, toMs: number) => {
  const everything = filterOf(scope, storable(subject));
  const isOfMirror = scope === 'tag' && subject.split('/', 2)[1]?.startsWith(`${MIRROR_TAG}=`) === true;
  const filter: Filter = isOfMirror ? everything : (eb) => eb.and([everything(eb), eb.not(isMirrored(eb))]);
  const firstDay = Math.ceil(fromMs / DAY_MS) * DAY_MS;
  const endDay = Math.max(firstDay, Math.floor(toMs / DAY_MS) * DAY_MS);
  const parts = [requests(db, filter, fromMs, Math.min(firstDay, toMs)), requests(db, filter, endDay, toMs)];
  if (endDay > firstDay) {
    parts.push(days(db, everything, ROLLUP_OF[scope], dayOf(firstDay), dayOf(endDay)));
    parts.push(
      requests(db, filter, firstDay, endDay).where('seq', '>', (eb) => eb.selectFrom('ledger').select('folded_seq')),
    );
  }
  const sum = sql.join(
    parts.map((part) => sql`coalesce((${part}), 0)`),
    sql` + `,
  );
  if (isOfMirror || endDay <= firstDay)
    return sql<{ spent: number }>`select cast(${sum} as bigint) as spent`.compile(db);
  const both: Filter = (eb) => eb.and([isMirrored(eb), everything(eb)]);
  const mirrored = days(db, both, 'usage_full_daily', dayOf(firstDay), dayOf(endDay));
  return sql<{ spent: number }>`select cast(${sum} - coalesce((${mirrored}), 0) as bigint) as spent`.compile(db);
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

/** Whether it was a mirror that was asked. There are few sets of labels of them, and an index by these. */
const isMirrored = (eb: ExpressionBuilder<Schema, 'usage'>): Expression<SqlBool> =>
  eb(
    'labels',
    'in',
    eb
      .selectFrom('labels as mirror')
      .select('mirror.set_id')
      .where('mirror.kind', '=', 'tag')
      .where('mirror.name', '=', MIRROR_TAG),
  );

const cost = sql<number>`sum(cost_micro_usd)`.as('spent');

const requests = (db: Kysely<Schema>, filter: Filter, fromMs: number, toMs: number) =>
  db.selectFrom('usage').select(cost).where(filter).where('time_ms', '>=', fromMs).where('time_ms', '<', toMs);

/** The smallest roll-up that tells a scope's subjects apart. */
const ROLLUP_OF = {
  org: 'usage_org_daily',
  team: 'usage_team_daily',
  workflow: 'usage_team_daily',
  use_case: 'usage_team_daily',
  user: 'usage_user_daily',
  key: 'usage_user_daily',
  group: 'usage_label_daily',
  tag: 'usage_label_daily',
} as const satisfies Record<Scope, keyof Schema>;

type Daily = (typeof ROLLUP_OF)[Scope] | 'usage_full_daily';

const days = (db: Kysely<Schema>, filter: Filter, table: Daily, fromDay: string, toDay: string) => {
  // All of them have what the filter of their scope asks for; one type stands for them.
  const rollup = db.selectFrom(table as 'usage_full_daily');
  return rollup
    .select(cost)
    .where((eb) => filter(eb as unknown as ExpressionBuilder<Schema, 'usage'>))
    .where('period', '>=', fromDay)
    .where('period', '<', toDay) as unknown as ReturnType<typeof requests>;
};

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

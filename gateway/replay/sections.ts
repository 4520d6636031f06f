import { formatCount, formatUsd } from '../store/money.ts';
import { FACETS, type Facet } from './compare.ts';
import type { GuardReading } from './guards.ts';
import type { Costs, Counted, NamedRule, ReplayReport, ReportedChange, ReportedDecision } from './report.ts';

/** A part of the report for people: what is said, and a table. Cells are plain text. */
export interface Section {
  readonly title: string;
  readonly notes: readonly string[];
  readonly table: Table | undefined;
  /** Whether all of it is read first; else it is detail. */
  readonly isSummary: boolean;
}

/** A table; columns in `right` hold figures. */
export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly right: readonly number[];
}

/** The report in the order in which it is read. Sections that have nothing to say are left out. */
export const sectionsOf = (report: ReplayReport, guards: readonly GuardReading[]): Section[] =>
  [
    summary(report),
    guardSection(guards),
    costs(report, 'Cost by organisation', report.cost.by_org),
    costs(report, 'Cost by first model', report.cost.by_model),
    ...FACETS.map((facet) => changes(report, facet)),
    ...examples(report),
    who(report, 'org', 'Organisations touched'),
    who(report, 'team', 'Teams touched'),
    who(report, 'user', 'Users touched'),
    who(report, 'workflow', 'Workflows touched'),
    limits(report),
    failures(report),
    rules(report),
    basis(report),
  ].filter((section) => section !== undefined);

const TITLES: Readonly<Record<Facet, string>> = {
  denied: 'Newly denied',
  allowed: 'Newly allowed',
  denial: 'Denied for another reason',
  failed: 'No longer decided: 503',
  mended: 'Decided at last',
  model: 'Another first model',
  fallbacks: 'Other fallbacks',
  redaction_lost: 'No longer redacted',
  redaction: 'Redacted otherwise',
  tier: 'Another tier',
  parameters: 'Other parameters',
  tools: 'Other tools taken out',
  limits: 'Other limits',
  budgets: 'Other budgets',
  audit: 'Other content kept',
  user: 'Counted for somebody else',
  experiment: 'Another experiment',
  wording: 'Other wording alone',
};

const summary = (report: ReplayReport): Section => {
  const { decisions, facets, cost, range } = report;
  const rows: string[][] = [
    ['decisions', range ? `${formatCount(decisions.total)}, ${range.first} to ${range.last}` : 'none'],
  ];
  if (report.after) {
    rows.push(
      ['allowed', `${formatCount(decisions.allowed.before)} → ${formatCount(decisions.allowed.after)}`],
      ['touched', shareOf(decisions.touched, decisions.total)],
    );
    for (const facet of ALWAYS) rows.push([TITLES[facet].toLowerCase(), shareOf(facets[facet] ?? 0, decisions.total)]);
    for (const facet of FACETS) {
      if (!ALWAYS.includes(facet) && facets[facet] !== undefined) {
        rows.push([TITLES[facet].toLowerCase(), shareOf(facets[facet], decisions.total)]);
      }
    }
  }
  rows.push(...costRows(cost));
  const { newly_allowed: newly } = cost;
  if (newly.requests > 0) {
    const amount = cost.month_factor === null ? newly.micro_usd : month(newly.micro_usd, cost.month_factor);
    rows.push([
      'on top, newly allowed',
      `about ${usd(amount)} USD${cost.month_factor === null ? '' : ' in 30 days'} (${formatCount(newly.requests)} requests, estimated)`,
    ]);
  }
  if (report.limits) {
    const { newly_refused, no_longer_refused } = report.limits;
    rows.push([
      'refused by limits',
      `${formatCount(newly_refused)} more, ${formatCount(no_longer_refused)} no longer (simulated)`,
    ]);
  }
  return { title: titleOf(report), notes: [], table: { head: ['what', 'found'], rows, right: [] }, isSummary: true };
};

/** What is saved by refusing is no saving of prices and routes: where there is any, each is told. */
const costRows = (cost: ReplayReport['cost']): string[][] => {
  const { before_micro_usd: before, after_micro_usd: after, newly_denied_micro_usd: refused, month_factor } = cost;
  const rows = [['cost at the same tokens', change(before, after)]];
  if (refused > 0) {
    rows.push(['  by newly denied requests', `${signed(-refused)} USD`]);
    rows.push(['  of what both allow', change(before - refused, after)]);
  }
  if (month_factor !== null) {
    rows.push(['scaled to 30 days', change(month(before, month_factor), month(after, month_factor))]);
    if (refused > 0) {
      const kept = month(before - refused, month_factor);
      rows.push(['  of what both allow', change(kept, month(after, month_factor))]);
    }
  }
  return rows;
};

const ALWAYS: readonly Facet[] = ['denied', 'allowed', 'failed', 'model', 'redaction_lost'];

const titleOf = ({ before, after, prices }: ReplayReport): string => {
  const what = after ? `${after.revision} (sequence ${after.sequence})` : `prices of ${prices?.file ?? 'nobody'}`;
  return `Replay: ${what} against ${before.revision} (sequence ${before.sequence})`;
};

const guardSection = (guards: readonly GuardReading[]): Section | undefined =>
  guards.length === 0
    ? undefined
    : {
        title: guards.every(({ ok }) => ok) ? 'Guards kept' : 'Guards BREACHED',
        notes: [],
        table: {
          head: ['guard', 'limit', 'found', ''],
          rows: guards.map(({ guard, limit, found, ok }) => [guard, limit, found, ok ? 'kept' : 'BREACHED']),
          right: [1, 2],
        },
        isSummary: true,
      };

const costs = ({ cost }: ReplayReport, title: string, list: readonly Costs[]): Section | undefined => {
  if (list.length === 0) return undefined;
  const factor = cost.month_factor ?? 1;
  const shown = list.slice(0, SHOWN);
  const period = cost.month_factor === null ? 'USD in the range' : 'USD in 30 days';
  return {
    title,
    notes: rest(list.length),
    table: {
      head: ['', 'requests', `${period}: before`, 'after', 'change'],
      rows: shown.map(({ name, requests, before_micro_usd, after_micro_usd }) => [
        named(name),
        formatCount(requests),
        usd(month(before_micro_usd, factor)),
        usd(month(after_micro_usd, factor)),
        signed(month(after_micro_usd, factor) - month(before_micro_usd, factor)),
      ]),
      right: [1, 2, 3, 4],
    },
    isSummary: false,
  };
};

/** Rows of a table for people; the JSON has all. */
const SHOWN = 20;
const rest = (length: number): string[] =>
  length > SHOWN ? [`The ${SHOWN} first of ${formatCount(length)}; --json has all.`] : [];

const changes = (report: ReplayReport, facet: Facet): Section | undefined => {
  const list = report.changes.filter((each) => each.facet === facet);
  if (list.length === 0) return undefined;
  const hasCost = list.some(({ used }) => used > 0) && COSTING.includes(facet);
  return {
    title: `${TITLES[facet]}: ${shareOf(report.facets[facet] ?? 0, report.decisions.total)}`,
    notes: [
      ...rest(list.length),
      ...(hasCost && report.cost.month_factor !== null ? ['Dollars are those of the range, not of 30 days.'] : []),
    ],
    table: {
      head: ['before', 'after', 'decisions', ...(hasCost ? ['USD before', 'after'] : []), 'smallest example'],
      rows: list
        .slice(0, SHOWN)
        .map(({ before, after, count, cost_before_micro_usd, cost_after_micro_usd, example }) => [
          before,
          after,
          formatCount(count),
          ...(hasCost ? [usd(cost_before_micro_usd), usd(cost_after_micro_usd)] : []),
          example.id,
        ]),
      right: hasCost ? [2, 3, 4] : [2],
    },
    isSummary: false,
  };
};

const COSTING: readonly Facet[] = ['denied', 'model', 'failed'];

/** The examples of what matters most, whole. */
const examples = (report: ReplayReport): Section[] =>
  report.changes
    .filter(({ facet }) => EXPLAINED.includes(facet))
    .slice(0, SHOWN)
    .map((each) => example(each));

const EXPLAINED: readonly Facet[] = ['denied', 'allowed', 'denial', 'failed', 'mended', 'model', 'redaction_lost'];

const example = ({ facet, before, after, example: shown }: ReportedChange): Section => {
  const { caller, purpose } = shown;
  const of = ({ allow, codes, route }: ReportedDecision): string => {
    if (allow === null) return 'no decision';
    const verdict = allow ? 'allowed' : `denied: ${codes.join(', ') || 'no rule allows it'}`;
    return allow && route.length > 0 ? `${verdict}, ${route.join(', then ')}` : verdict;
  };
  return {
    title: `Example, ${TITLES[facet].toLowerCase()}: ${before} → ${after}`,
    notes: [],
    table: {
      head: ['', shown.id],
      rows: [
        ['when', shown.time],
        [
          'who',
          [caller.org, caller.team, caller.user, caller.id, caller.roles.join(' and ')].filter(Boolean).join(' / '),
        ],
        ['what', `${shown.endpoint}, model ${named(shown.model)}, workflow ${named(purpose.workflow)}`],
        ['before', of(shown.before)],
        ['after', of(shown.after)],
        ...onlyIn(shown.before.rules, shown.after.rules).map((rule) => ['fired before alone', ruleText(rule)]),
        ...onlyIn(shown.after.rules, shown.before.rules).map((rule) => ['fires after alone', ruleText(rule)]),
      ],
      right: [],
    },
    isSummary: false,
  };
};

const onlyIn = (rules: readonly NamedRule[], others: readonly NamedRule[]): NamedRule[] =>
  rules.filter(({ id }) => !others.some((other) => other.id === id));

const ruleText = ({ id, title, place }: NamedRule): string =>
  [id, ...(title ? [title] : []), ...(place ? [place] : [])].join(' – ');

const who = (report: ReplayReport, dimension: keyof ReplayReport['who'], title: string): Section | undefined => {
  const { touched, top } = report.who[dimension];
  if (touched === 0) return undefined;
  return {
    title: `${title}: ${formatCount(touched)}`,
    notes: touched > top.length ? [`The ${top.length} with most touched requests.`] : [],
    table: {
      head: ['', 'requests', 'touched', 'newly denied'],
      rows: top.map(({ name, requests, touched: by, newly_denied }) => [
        named(name),
        formatCount(requests),
        shareOf(by, requests),
        formatCount(newly_denied),
      ]),
      right: [1, 2, 3],
    },
    isSummary: false,
  };
};

const limits = ({ limits: effect }: ReplayReport): Section | undefined => {
  if (!effect) return undefined;
  return {
    title: `Limits and budgets, simulated: ${formatCount(effect.newly_refused)} newly refused, ${formatCount(effect.no_longer_refused)} no longer`,
    notes: [
      `Asked: ${formatCount(effect.asked.before)} requests before, ${formatCount(effect.asked.after)} after. Played through in the order of the log; requests at a time are not simulated, and nobody tries again.`,
    ],
    table:
      effect.refused.length === 0
        ? undefined
        : {
            head: ['refused by', 'before', 'after'],
            rows: effect.refused.map(({ limit, before, after }) => [limit, formatCount(before), formatCount(after)]),
            right: [1, 2],
          },
    isSummary: false,
  };
};

const failures = ({ failures: { before, after } }: ReplayReport): Section | undefined => {
  const rows = [...before.map((each) => ['before', each] as const), ...after.map((each) => ['after', each] as const)];
  if (rows.length === 0) return undefined;
  return {
    title: 'Inputs without a decision',
    notes: [],
    table: {
      head: ['under', 'reason', 'inputs'],
      rows: rows.slice(0, SHOWN).map(([side, { name, count }]) => [side, name, formatCount(count)]),
      right: [2],
    },
    isSummary: false,
  };
};

const rules = ({ rules: { never_fired, only_before, only_after }, after }: ReplayReport): Section | undefined => {
  const rows = [
    ...only_before.map((rule) => ['before alone', ruleText(rule), formatCount(rule.count)]),
    ...only_after.map((rule) => ['after alone', ruleText(rule), formatCount(rule.count)]),
    ...(after ? never_fired.map((rule) => ['never under the candidate', ruleText(rule), '0']) : []),
  ];
  if (rows.length === 0) return undefined;
  return {
    title: 'Rules',
    notes: [],
    table: { head: ['fired', 'rule', 'decisions'], rows, right: [2] },
    isSummary: false,
  };
};

/** On what the figures stand, and what nobody can know. */
const basis = (report: ReplayReport): Section => {
  const { decisions, cost, prices } = report;
  const some = (number: number, one: string, many: string): string[] =>
    number === 0 ? [] : [`${formatCount(number)} ${number === 1 ? one : many}`];
  const names = (list: readonly Counted[]): string =>
    list.map(({ name, count }) => `${name} (${formatCount(count)})`).join(', ');
  const notes = [
    `Read from ${report.source}.${report.org === null ? '' : ` Of organisation ${report.org} alone.`}`,
    ...(report.sample < 1
      ? [
          `A sample of ${Number((report.sample * 100).toFixed(6))} % of the decisions; dollars are scaled up, limits are not simulated.`,
        ]
      : []),
    `Cost is that of the recorded tokens at the model each decision asks first. Another model would count and write other tokens: nobody knows how many.`,
    ...some(cost.requests, 'request used tokens', 'requests used tokens').map(
      (text) => `${text}; the log charged ${usd(cost.recorded_micro_usd)} USD for them at the prices of its time.`,
    ),
    ...some(cost.fell_back, 'answer', 'answers').map(
      (text) => `${text} came from another model than the serving policies ask first: first is compared with first.`,
    ),
    ...some(cost.estimated, 'usage was', 'usages were').map((text) => `${text} estimated, for lack of the provider’s.`),
    ...(cost.unpriced.length > 0 ? [`Left out, for lack of a price: ${names(cost.unpriced)}.`] : []),
    ...(cost.newly_allowed.requests > 0
      ? [
          `Newly allowed requests are estimated from their prompts and the model’s usual output to that workflow${cost.newly_allowed.unknown_output > 0 ? `; ${formatCount(cost.newly_allowed.unknown_output)} go to models that answered nobody in this log, so their output counts nothing` : ''}.`,
        ]
      : []),
    ...(cost.month_factor === null && decisions.total > 0
      ? ['The log is shorter than an hour: nothing is scaled to 30 days.']
      : []),
    ...(prices
      ? [
          `Prices of ${prices.file} for ${formatCount(prices.priced.length)} models${prices.kept.length > 0 ? `; unchanged: ${prices.kept.join(', ')}` : ''}.`,
        ]
      : []),
    ...some(decisions.reused, 'serving decision was', 'serving decisions were').map(
      (text) =>
        `${text} taken from the log, where this very bundle had made ${decisions.reused === 1 ? 'it' : 'them'}.`,
    ),
    ...some(decisions.proved, 'was', 'were').map(
      (text) =>
        `${text} made again and compared with the log: ${decisions.unproved === 0 ? 'all equal' : `${formatCount(decisions.unproved)} DIFFER, such as ${decisions.unproved_example ?? ''}`}.`,
    ),
    ...(decisions.other_bundles.length > 0
      ? [`Made by other bundles, so decided anew under the serving one: ${names(decisions.other_bundles)}.`]
      : []),
    ...some(decisions.completed, 'input is', 'inputs are').map(
      (text) => `${text} of an older version, completed with neutral values: ${names(decisions.added)}.`,
    ),
    ...(decisions.unfit.length > 0 ? [`Left out, because they are no inputs: ${names(decisions.unfit)}.`] : []),
    ...some(decisions.under_way, 'request', 'requests').map(
      (text) => `${text} had no end in the log: under way, or lost with a gateway.`,
    ),
    ...some(decisions.was_limited, 'request was', 'requests were').map(
      (text) =>
        `${text} refused by a limit when made, so there is no usage of ${decisions.was_limited === 1 ? 'it' : 'them'}.`,
    ),
  ];
  return { title: 'On what this stands', notes, table: undefined, isSummary: false };
};

const named = (name: string): string => (name === '' ? '(none)' : name);

const month = (microUsd: number, factor: number): number => Math.round(microUsd * factor);

/** Dollars to the cent; small amounts whole. */
const usd = (microUsd: number): string =>
  Math.abs(microUsd) < 1_000_000
    ? formatUsd(microUsd)
    : formatUsd(Math.round(microUsd / 10_000) * 10_000, { grouped: true }).slice(0, -4);

const signed = (microUsd: number): string => (microUsd > 0 ? `+${usd(microUsd)}` : usd(microUsd));

const change = (before: number, after: number): string => {
  const share = before === 0 ? '' : ` (${signedPercent((after - before) / before)})`;
  return `${usd(before)} → ${usd(after)} USD${before === after ? '' : `, ${signed(after - before)}${share}`}`;
};

const signedPercent = (share: number): string => `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)} %`;

const shareOf = (part: number, whole: number): string =>
  part === 0 || whole === 0 ? formatCount(part) : `${formatCount(part)} (${percent(part / whole)})`;

const percent = (share: number): string =>
  share < 0.0001 ? '< 0.01 %' : `${(share * 100).toFixed(share < 0.01 ? 2 : 1)} %`;

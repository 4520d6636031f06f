import type { Explanation, FiredRule } from '../explain/explanation.ts';
import type { AuditOutcome, Decision, Input } from '../types.gen.ts';
import { indent } from './audit-show.ts';
import type { FullExplanation } from './explain.ts';
import { consideredLines, neededLines } from './explain-models.ts';
import type { Trace } from './explain-trace.ts';
import { field, LABEL_COLUMNS, PAGE_COLUMNS, section } from './page.ts';
import { wrap } from './wrap.ts';

/** The page that `aegis explain` prints: 100 columns, no colours, the verdict first. */
export const explainText = (explanation: FullExplanation): string => {
  const { found, input, decision, bundle, rules, policy, notes, contents, trace } = explanation;
  const sections = [
    verdict(explanation),
    decision ? denials(decision) : [],
    section('needed, for each rule that denied', neededLines(policy)),
    section('request', who(explanation), input ? asked(input) : []),
    section('route', decision ? route(decision, found.outcome, input) : [], attempts(found.outcome)),
    section('models considered', consideredLines(policy)),
    section('policy', policyLines(bundle, notes), fired(rules)),
    section('limits', decision ? limits(decision) : []),
    section('privacy', decision ? redactions(decision, found.intent?.masked) : []),
    section('usage', usage(found.outcome, found.intent?.reserved_micro_usd)),
    section('time', found.outcome ? times(found.outcome) : []),
    section(
      'later',
      found.events.map((event) => field(event.event, event.time)),
    ),
    traceLines(trace),
    ...contents.map(({ of, text, reason }) => [`${of} (as kept)`, indent(text ?? `(${reason})`)]),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
};

const WORDS: Record<AuditOutcome['outcome'], string> = {
  ok: 'ALLOWED',
  denied: 'DENIED by policy',
  rejected: 'REJECTED before policy',
  limited: 'LIMITED',
  failed: 'FAILED',
  incomplete: 'BROKEN OFF',
  aborted: 'ABORTED by the caller',
  unknown: 'UNKNOWN: the gateway died',
};

const verdict = ({ found }: Explanation): string[] => {
  const { intent, outcome } = found;
  if (!outcome)
    return [
      'ALLOWED, and no outcome yet: under way, or its gateway died',
      field('decision', found.id),
      field('at', intent?.time ?? ''),
      ...mirrorLines(found),
    ];
  const parts = [WORDS[outcome.outcome]];
  if (outcome.status > 0) parts.push(`status ${outcome.status}`);
  if (outcome.error) parts.push(outcome.error);
  if (outcome.model) parts.push(`${outcome.model} by ${outcome.upstream}`);
  return [
    parts.join(', '),
    field('decision', found.id),
    field('request', outcome.request_id),
    field('at', intent?.time ?? outcome.time),
    ...mirrorLines(found),
  ];
};

/** A mirror and the request that it mirrors name each other. */
const mirrorLines = ({ intent, outcome, mirrors = [] }: Explanation['found']): string[] => {
  const original = (intent ?? outcome)?.mirror_of;
  return [
    ...(original === undefined ? [] : [field('mirror of', `${original}; its answer was kept and went to nobody`)]),
    ...mirrors.map((id) => field('mirrored by', id)),
  ];
};

const denials = (decision: Decision): string[] =>
  decision.deny.flatMap(({ code, message, hint, rule }) => [
    `why: ${code}`,
    field('message', message),
    ...(hint === '' ? [] : [field('hint', hint)]),
    field('rule', rule),
  ]);

const who = ({ input, decision, found }: Explanation): string[] => {
  const caller = input?.caller ?? found.outcome?.caller;
  if (!caller) return [field('caller', 'no credential was accepted')];
  const names = [caller.user && `user ${caller.user}`, caller.team && `team ${caller.team}`, `org ${caller.org}`];
  const lines = [
    field('caller', names.filter(Boolean).join(', ')),
    field('credential', `${input ? `${input.caller.kind} ` : ''}${caller.id}`),
  ];
  const endUser = decision?.acting_for;
  if (endUser) lines.push(field('acting for', `user ${endUser}`));
  if (input && input.caller.roles.length > 0) lines.push(field('roles', input.caller.roles.join(', ')));
  const purpose = input?.purpose ?? found.outcome?.purpose;
  if (!purpose) return lines;
  const tags = Object.entries(purpose.tags).map(([name, value]) => `${name}=${value}`);
  const said = [
    purpose.workflow && `workflow ${purpose.workflow}`,
    purpose.use_case && `use case ${purpose.use_case}`,
    purpose.session && `session ${purpose.session}`,
    tags.length > 0 && `tags ${tags.join(', ')}`,
  ].filter(Boolean);
  if (said.length > 0) lines.push(field('purpose', said.join('; ')));
  return lines;
};

const asked = ({ request, content }: Input): string[] => {
  const about = [
    request.endpoint,
    request.stream ? 'streamed' : 'not streamed',
    request.max_output_tokens === null ? '' : `at most ${number(request.max_output_tokens)} output tokens`,
    request.tools.length === 0 ? '' : `tools ${request.tools.join(', ')}`,
  ];
  const { signals } = content;
  const size = [
    plural(content.messages, 'message'),
    plural(content.bytes, 'byte'),
    `about ${number(content.tokens_estimate)} tokens`,
    content.modalities.join('+'),
  ];
  const marks = [
    `complexity ${content.complexity}`,
    signals.multiple_choice ? 'multiple choice' : '',
    signals.yes_no ? 'yes or no' : '',
    signals.code ? 'code' : '',
    signals.math ? 'math' : '',
  ];
  const lines = [field('asks', list(about)), field('prompt', list(size)), field('signals', list(marks))];
  const values = counts({ ...content.pii, ...content.secrets });
  if (values) lines.push(field('found', values));
  for (const { kind, bytes } of content.uninspected) lines.push(field('unread', `${kind}, ${number(bytes)} bytes`));
  return lines;
};

const route = (
  { route: { candidates, reason, experiment, mirror }, parameters }: Decision,
  outcome: AuditOutcome | undefined,
  input: Input | undefined,
): string[] => {
  const lines: string[] = [];
  const wished = input?.request.model;
  if (wished) lines.push(field('wished', wished));
  if (candidates.length > 0)
    lines.push(field('candidates', candidates.map(({ model, upstream }) => `${model} by ${upstream}`).join(', then ')));
  if (reason !== '') lines.push(field('because', reason));
  if (experiment) lines.push(field('experiment', `${experiment.id}, arm ${experiment.arm}`));
  if (mirror) {
    const cap = `within ${dollars(mirror.daily_micro_usd)} a day`;
    lines.push(field('mirror', `${mirror.id}: ${mirror.model} by ${mirror.upstream}, ${cap}`));
  }
  if (parameters.max_output_tokens !== undefined)
    lines.push(field('capped at', `${number(parameters.max_output_tokens)} output tokens`));
  if (outcome?.model) lines.push(field('answered', `${outcome.model} by ${outcome.upstream}`));
  return lines;
};

const attempts = (outcome: AuditOutcome | undefined): string[] =>
  (outcome?.attempts ?? []).map(({ model, upstream, status, error, ms, upstream_cost_micro_usd: cost }, index) =>
    field(
      `attempt ${index + 1}`,
      list([
        `${model} by ${upstream}`,
        status === null ? 'no answer' : `status ${status}`,
        error ?? '',
        `${milliseconds(ms)} to the answer's head`,
        cost === undefined ? '' : `${dollars(cost)} as the upstream counts`,
      ]),
    ),
  );

const policyLines = (bundle: Explanation['bundle'], notes: readonly string[]): string[] => {
  if (!bundle) return [];
  const lines = [field('revision', bundle.revision.slice(0, 16)), field('digest', bundle.digest)];
  return [...lines, ...notes.map((note) => field('note', note))];
};

const traceLines = (trace: Trace | undefined): string[] => {
  if (!trace) return [];
  const { lines, notes, isSame } = trace;
  const said = isSame === true ? ['the interpreter decides as was recorded', ...notes] : notes;
  return ['trace', ...said.map((note) => field('note', note)), ...lines.map((line) => `  ${line}`.trimEnd())];
};

const fired = (rules: readonly FiredRule[]): string[] =>
  rules.flatMap(({ id, title, description, file, line, link }) => {
    const place = file === undefined ? '' : `${file}:${line}`;
    const head = place === '' ? `  ${id}` : `  ${id.padEnd(PAGE_COLUMNS - 3 - place.length)} ${place}`;
    // A long pair goes on two lines rather than over the edge.
    const heads = head.length <= PAGE_COLUMNS ? [head] : [`  ${id}`, `    ${place}`];
    const text = [title, description].filter(Boolean).join('. ').replaceAll('..', '.');
    const below = [...wrap(text, PAGE_COLUMNS - 4), link ?? ''].map((part) => `    ${part}`);
    return [...heads, ...below].filter((part) => part.trim() !== '');
  });

const limits = ({ rate, budgets }: Decision): string[] => [
  field('tier', rate.tier),
  ...rate.limits.map(({ scope, subject, ...caps }) => {
    const bounds = [
      caps.requests_per_minute === undefined ? '' : `${number(caps.requests_per_minute)} requests/min`,
      caps.tokens_per_minute === undefined ? '' : `${number(caps.tokens_per_minute)} tokens/min`,
      caps.concurrent === undefined ? '' : `${number(caps.concurrent)} at a time`,
    ];
    return field(scope, `${subject}: ${list(bounds)}`);
  }),
  ...budgets.map(({ scope, subject, micro_usd, period, timezone }) =>
    field('budget', `${scope} ${subject}: ${dollars(micro_usd)} a ${period} (${timezone})`),
  ),
];

const redactions = ({ redact, audit }: Decision, masked: Readonly<Record<string, number>> | undefined): string[] => {
  const rows = [...Map.groupBy(redact, ({ action }) => action)].map(([action, entries]) =>
    field(action, entries.map(({ entity }) => entity).join(', ')),
  );
  const replaced = counts(masked ?? {});
  rows.push(field('replaced', replaced || 'nothing'));
  rows.push(
    field(
      'kept',
      audit.content === 'none' ? 'no content' : `${audit.content} content for ${audit.retention_days} days`,
    ),
  );
  return rows;
};

const usage = (outcome: AuditOutcome | undefined, reserved: number | undefined): string[] => {
  const lines: string[] = [];
  if (outcome?.usage) {
    const { source, ...classes } = outcome.usage;
    const used = Object.entries(classes).filter(([, tokens]) => tokens > 0);
    lines.push(
      field(
        'tokens',
        `${used.map(([name, tokens]) => `${number(tokens)} ${name.replaceAll('_', ' ')}`).join(', ') || 'none'} (${source === 'provider' ? 'counted by the provider' : 'estimated'})`,
      ),
    );
  }
  if (outcome) lines.push(field('cost', dollars(outcome.cost.micro_usd)));
  if (reserved !== undefined) lines.push(field('reserved', `${dollars(reserved)} at most`));
  return lines;
};

const BAR_COLUMNS = 40;

const times = ({ stages_us, duration_ms }: AuditOutcome): string[] => {
  const stages = Object.entries(stages_us);
  const longest = Math.max(1, ...stages.map(([, us]) => us));
  const rows = stages.map(([stage, us]) =>
    row(stage, milliseconds(us / 1000), '#'.repeat(Math.round((us / longest) * BAR_COLUMNS))),
  );
  return [...rows, row('in all', milliseconds(duration_ms), '')];
};

const row = (name: string, time: string, bar: string): string =>
  `  ${name.padEnd(LABEL_COLUMNS)}${time.padStart(12)}  ${bar}`.trimEnd();

const list = (parts: readonly string[]): string => parts.filter((part) => part !== '').join(', ');

const counts = (of: Readonly<Record<string, number>>): string =>
  Object.entries(of)
    .map(([entity, count]) => `${count} ${entity}`)
    .join(', ');

const number = (value: number): string => value.toLocaleString('en-US');

const plural = (value: number, noun: string): string => `${number(value)} ${noun}${value === 1 ? '' : 's'}`;

const milliseconds = (ms: number): string => `${ms.toFixed(ms < 10 ? 3 : 1)} ms`;

/** US dollars with as many decimals as millionths need. */
const dollars = (microUsd: number): string => {
  const [whole, millionths] = (microUsd / 1_000_000).toFixed(6).split('.') as [string, string];
  return `$${number(Number(whole))}.${millionths.replace(/0{1,4}$/, '')}`;
};

import type { Endpoint } from '../protocol/protocol.ts';
import { servedEndpoints } from '../protocol/translations.ts';
import type { Input } from '../types.gen.ts';

const COUNT = 96;

/**
 * Valid inputs that take a policy through its common ways: known and unknown organisations, teams, roles, workflows and
 * models, with and without detected values. Names come from the bundle's data where it has such tables (organizations
 * with teams and workflows, roles, models); what a table does not say is made up, so that the defaults run too.
 */
export const warmupInputs = (data: Readonly<Record<string, unknown>>): Input[] => {
  const organizations = tableOf(data.organizations);
  const models = ['auto', 'auto', ...Object.keys(tableOf(data.models)), 'no-such-model'];
  const orgs = [...Object.keys(organizations), ...Object.keys(organizations), 'no-such-org'];
  const roles = [...Object.keys(tableOf(data.roles)), 'no-such-role'];
  const upstreams = upstreamsIn(data.models);
  let state = 1;
  const pick = (list: readonly string[]): string => {
    state = (state * 48271) % 2147483647; // a fixed sequence: the same bundle warms up the same way
    return list[state % list.length] as string;
  };
  return Array.from({ length: COUNT }, (_, n) => {
    const org = pick(orgs);
    const { teams, workflows } = tableOf(organizations[org]);
    const team = pick([...Object.keys(tableOf(teams)), ...Object.keys(tableOf(teams)), '']);
    const workflow = pick([
      ...Object.keys(tableOf(workflows)),
      ...Object.keys(tableOf(data.workflows)),
      'no-such-workflow',
    ]);
    return warmupInput(n, { model: pick(models), org, team, role: pick(roles), workflow, upstreams });
  });
};

interface Choice {
  model: string;
  org: string;
  team: string;
  role: string;
  workflow: string;
  upstreams: Input['upstreams'];
}

const warmupInput = (n: number, choice: Choice): Input => {
  const openai = n % 2 === 0;
  return {
    request: {
      id: `warm-up-${n}`,
      time: '2026-01-01T00:00:00.000Z',
      endpoint:
        n % 12 === 11
          ? n % 24 === 11
            ? 'models'
            : 'feedback'
          : ((openai ? OPENAI_ENDPOINTS : ANTHROPIC_ENDPOINTS)[n % 5] as Endpoint),
      dialect: openai ? 'openai' : 'anthropic',
      model: choice.model,
      stream: n % 3 === 0,
      max_output_tokens: n % 4 === 0 ? null : 256,
      temperature: n % 5 === 0 ? 0.2 : null,
      tools: n % 6 === 0 ? ['search', 'calculator'] : [],
      response_format: null,
      source_ip: '192.0.2.7',
      headers: { 'user-agent': 'warm-up' },
      end_user: n % 7 === 3 ? { name: 'warm-up', source: 'body' } : { name: '', source: 'none' },
    },
    caller: {
      kind: 'key',
      id: `warm-up-${n % 3}`,
      org: choice.org,
      team: choice.team,
      user: n % 3 === 0 ? '' : 'user',
      roles: [choice.role],
      groups: [],
      workflows: [],
      scopes: [],
      claims: {},
    },
    purpose: { workflow: choice.workflow, use_case: 'warm-up', session: '', tags: { course: 'warm-up' } },
    content: {
      messages: 2,
      bytes: 800,
      tokens_estimate: 180,
      modalities: n % 8 === 7 ? ['text', 'image'] : ['text'],
      languages: ['Latn'],
      pii: n % 4 === 1 ? (n % 16 === 1 ? { card: 1 } : { email: 1, phone: 2 }) : {},
      secrets: n % 8 === 2 ? { api_key: 1 } : {},
      signals: {
        multiple_choice: n % 3 === 1,
        yes_no: n % 3 === 2,
        question_marks: n % 3,
        code: n % 5 === 0,
        math: false,
        instruction_verbs: n % 2,
        turns: 1,
        words: 40 + n,
        numbers: n % 7,
        long_words: n % 5,
        negated: n % 9 === 4,
      },
      complexity: (n % 10) / 10,
      uninspected: n % 8 === 7 ? [{ kind: 'image', bytes: 4096 }] : [],
    },
    spend: [],
    upstreams: choice.upstreams,
    bucket: { request: (n * 211) % 10000, user: (n * 83) % 10000, session: (n * 37) % 10000, org: 5 },
    experiments: {},
  };
};

const tableOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

/** Five each: most of the calls are those of most clients. */
const OPENAI_ENDPOINTS: readonly Endpoint[] = [
  'chat.completions',
  'responses',
  'chat.completions',
  'embeddings',
  'completions',
];
const ANTHROPIC_ENDPOINTS: readonly Endpoint[] = [
  'messages',
  'messages',
  'messages.count_tokens',
  'messages',
  'messages',
];

const isAnthropic = (name: string): boolean => name.startsWith('anthropic');
const ANTHROPIC_SERVES = servedEndpoints(['messages', 'messages.count_tokens']);
const OPENAI_SERVES = servedEndpoints(['chat.completions', 'responses', 'completions', 'embeddings']);

const upstreamsIn = (models: unknown): Input['upstreams'] => {
  const names = new Set<string>();
  for (const model of Object.values(tableOf(models))) {
    for (const name of Object.keys(tableOf(tableOf(model).upstreams))) names.add(name);
  }
  const upstream = (name: string): Input['upstreams'][string] => ({
    dialects: [isAnthropic(name) ? 'anthropic' : 'openai'],
    endpoints: isAnthropic(name) ? ANTHROPIC_SERVES : OPENAI_SERVES,
    third_party: true,
    state: 'up',
    error_rate: 0,
    p50_ms: 300,
  });
  return Object.fromEntries([...names].slice(0, 32).map((name) => [name, upstream(name)]));
};

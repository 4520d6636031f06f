import type { Input } from '../../gateway/types.gen.ts';
import { upstreamFacts } from './upstream-facts.ts';

type Changes<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: Changes<T[K]> } : T;

/** A valid request of the demo's student: open question, default upstreams, three budgets far from their caps. */
export const student: Input = {
  request: {
    id: 'req_01KAV7Q2M3N4P5R6S7T8V9W0XY',
    time: '2026-11-24T09:00:00.000Z',
    endpoint: 'chat.completions',
    dialect: 'openai',
    model: 'auto',
    stream: false,
    max_output_tokens: null,
    temperature: null,
    tools: [],
    response_format: null,
    source_ip: '127.0.0.1',
    headers: { 'user-agent': 'OpenAI/JS 7.1.0' },
    end_user: { name: '', source: 'none' },
  },
  caller: {
    kind: 'key',
    id: 'key_01KAV7Q2M3N4',
    org: 'demo-university',
    team: 'cs101',
    user: 'sam',
    roles: ['student'],
    groups: [],
    workflows: [],
    scopes: [],
    claims: {},
  },
  purpose: {
    workflow: 'tutoring',
    use_case: 'homework',
    session: 's-1',
    tags: { course: 'CS101', institution: 'MIT' },
  },
  content: {
    messages: 2,
    bytes: 612,
    tokens_estimate: 131,
    modalities: ['text'],
    languages: ['Latn'],
    pii: { email: 1 },
    secrets: {},
    signals: {
      multiple_choice: false,
      yes_no: false,
      question_marks: 1,
      code: false,
      math: false,
      instruction_verbs: 1,
      turns: 1,
      words: 64,
      numbers: 0,
      long_words: 3,
      negated: false,
    },
    complexity: 0.42,
    uninspected: [],
  },
  spend: [
    ['org', 'demo-university', '2026-11', 41_203_441, 5_000_000_000] as const,
    ['team', 'demo-university/cs101', '2026-11', 1_203_441, 200_000_000] as const,
    ['user', 'demo-university/sam', '2026-11-24', 3_441, 2_000_000] as const,
  ].map(([scope, subject, period, spent, cap]) => ({
    scope,
    subject,
    period,
    micro_usd: spent,
    reserved_micro_usd: 4_411,
    cap_micro_usd: cap,
    age_ms: 12,
  })),
  upstreams: {
    openai: upstreamFacts('openai', { p50_ms: 412 }),
    anthropic: upstreamFacts('anthropic', { p50_ms: 520 }),
    mistral: upstreamFacts('mistral', { p50_ms: 300 }),
    local: upstreamFacts('local', { p50_ms: 120 }),
  },
  bucket: { request: 1234, user: 4321, session: 77, org: 9 },
  experiments: {},
};

/** The student's request with `changes` put over it: objects deeply, lists as a whole. */
export const request = (changes: Changes<Input>): Input => merge(student, changes) as Input;

const merge = (base: unknown, changes: unknown): unknown => {
  if (!isPlain(base) || !isPlain(changes)) return changes;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(changes)) merged[key] = merge(merged[key], value);
  return merged;
};

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

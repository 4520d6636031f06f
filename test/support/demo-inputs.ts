import type { Input } from '../../gateway/types.gen.ts';
import { input } from './policy-fixture.ts';
import { upstreamFacts } from './upstream-facts.ts';

const UPSTREAMS: Input['upstreams'] = {
  openai: upstreamFacts('openai'),
  anthropic: upstreamFacts('anthropic', { error_rate: 0.01, p50_ms: 400 }),
  mistral: upstreamFacts('mistral', { state: 'degraded', error_rate: 0.2, p50_ms: 900 }),
  local: upstreamFacts('local', { p50_ms: 80 }),
};

const student = { id: 'key_s', org: 'demo-university', team: 'cs101', user: 'ada', roles: ['student'] };
const researcher = { id: 'key_r', org: 'demo-university', team: 'nlp-lab', user: 'grace', roles: ['researcher'] };

const service = { id: 'key_l', org: 'demo-university', team: 'lms', user: '', roles: ['service'] };

const made = (change: Parameters<typeof input>[0], rest: Partial<Omit<Input, 'request' | 'caller'>> = {}): Input => {
  const base = input(change);
  const purpose = {
    workflow: 'assistant',
    use_case: 'homework',
    session: 's1',
    tags: { institution: 'MIT', course: 'CS101' },
  };
  return { ...base, upstreams: UPSTREAMS, purpose, ...rest };
};

const content = (change: Partial<Input['content']>): Input['content'] => ({ ...input().content, ...change });

/** Valid inputs for the demo policies, by what they are; most are allowed. */
export const demoInputs = (): Record<string, Input> => ({
  'a question with options of a student': made(
    { caller: student, request: { headers: { 'user-agent': 'lms/1' } } },
    { content: content({ signals: { ...input().content.signals, multiple_choice: true } }) },
  ),
  'an essay of a student, with a cap, tools and personal data': made(
    {
      caller: student,
      request: {
        max_output_tokens: 900,
        temperature: 0.2,
        stream: true,
        tools: ['calculator', 'web_browser'],
        response_format: 'text',
      },
    },
    {
      content: content({
        complexity: 0.8,
        pii: { email: 2, phone: 1 },
        signals: { ...input().content.signals, instruction_verbs: 3, words: 300 },
      }),
    },
  ),
  'a concrete model of a student in the other dialect': made({
    caller: student,
    request: { model: 'claude-haiku-5-5', endpoint: 'messages', dialect: 'anthropic', max_output_tokens: 100 },
  }),
  'the frontier for a researcher': made(
    { caller: researcher, request: { model: 'gpt-6-astra' } },
    { purpose: { workflow: 'research', use_case: '', session: '', tags: {} } },
  ),
  'an image of a researcher': made(
    { caller: researcher, request: { model: 'gpt-6-sol' } },
    {
      purpose: { workflow: 'research', use_case: '', session: '', tags: {} },
      content: content({ modalities: ['text', 'image'], uninspected: [{ kind: 'image', bytes: 90_000 }] }),
    },
  ),
  'a budget that runs low': made(
    { caller: student },
    {
      spend: [
        {
          scope: 'team',
          subject: 'demo-university/cs101',
          period: '2026-11',
          micro_usd: 190_000_000,
          reserved_micro_usd: 1_000_000,
          cap_micro_usd: 200_000_000,
          age_ms: 12,
        },
      ],
    },
  ),
  'a school that keeps to European upstreams': made(
    { caller: { id: 'key_c', org: 'demo-college', team: '', user: '', roles: ['teacher'] } },
    { purpose: { workflow: 'tutoring', use_case: '', session: '', tags: {} } },
  ),
  'a response of the Responses API for a student': made({ caller: student, request: { endpoint: 'responses' } }),
  'a count of the tokens of a message': made({
    caller: student,
    request: { endpoint: 'messages.count_tokens', dialect: 'anthropic' },
  }),
  'vectors for a researcher': made(
    { caller: researcher, request: { endpoint: 'embeddings', model: 'text-embedding-3-small' } },
    { purpose: { workflow: 'research', use_case: '', session: '', tags: {} } },
  ),
  'a legacy completion of a service': made(
    {
      caller: { id: 'key_l', org: 'demo-university', team: 'lms', user: '', roles: ['service'] },
      request: { endpoint: 'completions', model: 'campus-8b', max_output_tokens: 64 },
    },
    { purpose: { workflow: 'quiz', use_case: '', session: '', tags: {} } },
  ),
  'the list of models': made({ caller: student, request: { endpoint: 'models', model: '' } }),
  'a caller that a JWT proves, limited to one workflow': made({
    caller: {
      ...student,
      kind: 'jwt',
      workflows: ['assistant'],
      groups: ['g1'],
      scopes: ['llm'],
      claims: { plan: 'basic' },
    },
  }),
  'a service that acts for a user': made({
    caller: service,
    request: { end_user: { name: 'zoe', source: 'header' } },
  }),
  'a service whose body names a user': made({
    caller: service,
    request: { endpoint: 'messages', dialect: 'anthropic', end_user: { name: 'zoe', source: 'body' } },
  }),
  'a student whose body names a user': made({
    caller: student,
    request: { end_user: { name: 'zoe', source: 'body' } },
  }),
  'a student who asks for the frontier': made({ caller: student, request: { model: 'gpt-6-astra' } }),
  'a student who asks for vectors': made({
    caller: student,
    request: { endpoint: 'embeddings', model: 'text-embedding-3-small' },
  }),
  'vectors of no named model': made(
    { caller: researcher, request: { endpoint: 'embeddings', model: 'auto' } },
    { purpose: { workflow: 'research', use_case: '', session: '', tags: {} } },
  ),
  'an unknown organisation': made({ caller: { ...student, org: 'nobody' } }),
  'an unknown workflow': made(
    { caller: student },
    { purpose: { workflow: 'gambling', use_case: '', session: '', tags: {} } },
  ),
  'a student who would act for another': made({
    caller: student,
    request: { end_user: { name: 'zoe', source: 'header' } },
  }),
  'an API key in the text': made({ caller: student }, { content: content({ secrets: { openai: 1 } }) }),
});

const KEY: NonNullable<Input['target']> = {
  org: 'demo-university',
  team: 'cs101',
  user: 'sam',
  roles: ['student'],
  groups: [],
  workflows: ['quiz'],
};

const administration = (
  endpoint: Input['request']['endpoint'],
  roles: string[],
  target: Input['target'] = null,
): Input => ({
  ...made({ caller: { ...student, user: 'root', roles }, request: { endpoint, model: '' } }),
  target,
});

/** Valid inputs of the control plane, by what they are; the first four are allowed. */
export const adminInputs = (): Record<string, Input> => ({
  'an administrator who reads the upstreams': administration('admin.upstreams', ['admin']),
  'an administrator who makes a key': administration('admin.keys.create', ['admin'], KEY),
  'an administrator who rotates a key': administration('admin.keys.rotate', ['admin'], KEY),
  'an administrator of the platform who ends another organisation’s key': administration(
    'admin.keys.revoke',
    ['platform-admin'],
    { ...KEY, org: 'demo-college', team: 'year-12' },
  ),
  'an administrator who makes one above itself': administration('admin.keys.create', ['admin'], {
    ...KEY,
    roles: ['student', 'platform-admin', 'emperor'],
  }),
  'an administrator who makes one of another organisation': administration('admin.keys.create', ['admin'], {
    ...KEY,
    org: 'demo-college',
  }),
  'a student who makes a key': administration('admin.keys.create', ['student'], KEY),
});

import type { Json } from '../../gateway/protocol/fields.ts';

const TOOLS = ['Task', 'Bash', 'Glob', 'Grep', 'Read', 'Edit', 'Write', 'WebFetch', 'TodoWrite', 'mcp__docs__search'];

const tool = (name: string): Json => ({
  name,
  description: `${name}: ${'what it does, when to use it, and when not to. '.repeat(30)}`,
  input_schema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      path: { type: 'string', description: 'An absolute path' },
      options: { type: 'object', propertyNames: { type: 'string' }, additionalProperties: { type: 'string' } },
      limit: { type: 'number', exclusiveMinimum: 0 },
    },
    required: ['path'],
    additionalProperties: false,
  },
});

const ephemeral = { cache_control: { type: 'ephemeral' } };

/** A body of about 28 KB in the shape in which Claude Code asks in the middle of its work. */
export const claudeCodeRequest = (): Json => ({
  model: 'claude-opus-5-5',
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: '<system-reminder>\nThe current date is 2026-11-24.\n</system-reminder>' },
        { type: 'text', text: 'Why does the build fail?', ...ephemeral },
      ],
    },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'I should look at the log.', signature: 'EqQBCkYICxgCKkA=' },
        { type: 'text', text: 'I look at the log and the sources.' },
        { type: 'tool_use', id: 'toolu_01A', name: 'Read', input: { path: '/repo/build.log' } },
        { type: 'tool_use', id: 'toolu_01B', name: 'Bash', input: { path: 'ls' }, caller: { type: 'direct' } },
      ],
    },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'toolu_01A', content: 'error: no such module' },
        { type: 'tool_result', tool_use_id: 'toolu_01B', content: 'Exit code 2', is_error: true, ...ephemeral },
        { type: 'text', text: '<system-reminder>\nYour list of tasks is empty.\n</system-reminder>' },
      ],
    },
  ],
  system: [
    { type: 'text', text: 'x-anthropic-billing-header: cc_version=2.1.0; cc_entrypoint=cli;' },
    { type: 'text', text: "You are Claude Code, Anthropic's official CLI for Claude.", ...ephemeral },
    {
      type: 'text',
      text: 'You are an interactive agent. Follow the rules of the project.\n'.repeat(160),
      ...ephemeral,
    },
  ],
  tools: TOOLS.map(tool),
  metadata: { user_id: JSON.stringify({ device_id: 'd'.repeat(64), account_uuid: '', session_id: 's'.repeat(36) }) },
  max_tokens: 64_000,
  thinking: { type: 'adaptive' },
  context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
  output_config: { effort: 'medium' },
  stream: true,
});

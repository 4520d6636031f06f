import { scanJson } from '../../gateway/protocol/json-scan.ts';
import { openaiResponses } from '../../gateway/protocol/openai-responses.ts';
import type { Call, Edits } from '../../gateway/protocol/protocol.ts';
import { splice } from '../../gateway/protocol/splice.ts';

type Json = Record<string, unknown>;

/** A call of the responses API from a body, or from its JSON text. */
export const responsesCall = (body: object | string): Call => {
  const raw = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return openaiResponses.read(raw, scanJson(raw), JSON.parse(raw.toString()) as Json);
};

/** The text of a body as it goes upstream. */
export const editedResponses = (body: object | string, edits: Edits): string => {
  const read = responsesCall(body);
  return splice(read.raw, openaiResponses.edit(read, edits)).toString();
};

const TEXT =
  'You are a coding agent. Be precise, safe and helpful.\n\n# How you work\n- "Quotes", back\\slashes and é.\n';

/** What Codex sends: 28 KB, stateless, with fields that few others use. */
export const CODEX = {
  model: 'gpt-5.4-nano',
  instructions: TEXT.repeat(180),
  input: [
    { type: 'message', role: 'developer', content: [{ type: 'input_text', text: '<permissions>read</permissions>' }] },
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: '<cwd>/src</cwd>' }] },
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Fix the bug.' }] },
    {
      type: 'reasoning',
      summary: [{ type: 'summary_text', text: '**Looking**' }],
      content: null,
      encrypted_content: `gAAAAAB${'pQ3-x_Z9'.repeat(120)}==`,
    },
    {
      type: 'message',
      role: 'assistant',
      phase: 'commentary',
      content: [{ type: 'output_text', text: 'I look at it.' }],
    },
    {
      type: 'function_call',
      name: 'exec_command',
      namespace: 'shell',
      arguments: '{"cmd":"ls"}',
      call_id: 'call_1',
    },
    { type: 'function_call_output', call_id: 'call_1', output: 'a.ts' },
    { type: 'custom_tool_call', status: 'completed', call_id: 'call_2', name: 'apply_patch', input: '*** Begin Patch' },
    { type: 'custom_tool_call_output', call_id: 'call_2', output: 'done' },
  ],
  tools: [
    { type: 'function', name: 'exec_command', description: TEXT.repeat(50), strict: false, parameters: {} },
    { type: 'custom', name: 'apply_patch', description: 'edit', format: { type: 'grammar', syntax: 'lark' } },
    { type: 'namespace', name: 'mcp__docs', description: 'docs', tools: [{ type: 'function', name: 'read_page' }] },
    { type: 'web_search', external_web_access: false },
  ],
  tool_choice: 'auto',
  parallel_tool_calls: true,
  reasoning: { effort: 'medium', summary: 'auto' },
  store: false,
  stream: true,
  include: ['reasoning.encrypted_content'],
  prompt_cache_key: '019a9e1c-3c1f-7d40-9d6c-2b1f7a4d0d55',
  text: { verbosity: 'low' },
  client_metadata: { 'x-codex-installation-id': 'b9c1d1d4' },
} as const;

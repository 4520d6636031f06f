import { servedEndpoints } from '../protocol/translations.ts';
import type { Input } from '../types.gen.ts';

/** An input as it was recorded: by this version, or by one whose schema had fewer fields. */
export type RecordedInput = Readonly<Record<string, unknown>>;

/** A recorded input with the fields that its time did not have yet. */
export interface CompletedInput {
  readonly input: Input;
  /** Paths of what was added; empty for an input of this version. */
  readonly added: readonly string[];
}

/*
 * What schemas/input.json got after the first release of it, and what a gateway of that time would have said: nobody was
 * named as the end user, an upstream was asked for what its API speaks, no experiment was stopped, and what was not counted
 * was not there. A field that becomes required is added here.
 */
const NO_END_USER: Input['request']['end_user'] = { name: '', source: 'none' };
const NO_SIGNALS = { numbers: 0, long_words: 0, negated: false } as const;
const ENDPOINTS = {
  openai: ['chat.completions', 'responses', 'completions', 'embeddings'],
  anthropic: ['messages', 'messages.count_tokens'],
} as const;

/** Fills in what a recorded input lacks against today's schema. Never changes what it has; the result may still be no input. */
export const completeInput = (recorded: RecordedInput): CompletedInput => {
  const added: string[] = [];
  let input = recorded;
  const { request, upstreams, content, experiments } = recorded;
  if (experiments === undefined) {
    input = { ...input, experiments: {} };
    added.push('experiments');
  }
  if (isObject(content) && isObject(content.signals)) {
    const { signals } = content;
    const missing = Object.keys(NO_SIGNALS).filter((name) => signals[name] === undefined);
    if (missing.length > 0) input = { ...input, content: { ...content, signals: { ...NO_SIGNALS, ...signals } } };
    for (const name of missing) added.push(`content.signals.${name}`);
  }
  if (isObject(request) && request.end_user === undefined) {
    input = { ...input, request: { ...request, end_user: NO_END_USER } };
    added.push('request.end_user');
  }
  if (isObject(upstreams)) {
    const whole = Object.entries(upstreams).map(([name, upstream]) => {
      if (!isObject(upstream) || upstream.endpoints !== undefined) return [name, upstream] as const;
      added.push(`upstreams.${name}.endpoints`);
      return [name, { ...upstream, endpoints: endpointsOf(upstream.dialects) }] as const;
    });
    if (whole.some(([name, upstream]) => upstreams[name] !== upstream)) {
      input = { ...input, upstreams: Object.fromEntries(whole) };
    }
  }
  return { input: input as unknown as Input, added };
};

const endpointsOf = (dialects: unknown): string[] => {
  if (!Array.isArray(dialects)) return [];
  const own = (['openai', 'anthropic'] as const).flatMap((dialect) =>
    dialects.includes(dialect) ? ENDPOINTS[dialect] : [],
  );
  return servedEndpoints(own);
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a request asks the sandbox to do wrong. docs/sandbox.md lists them. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'quota' | 'slow' | 'truncate' | 'stall' | 'hang' | 'reset' | 'garbage' };

const KINDS = ['quota', 'slow', 'truncate', 'stall', 'hang', 'reset', 'garbage'] as const;

/**
 * The first fault a prompt names for this model: `sandbox:429`, or `sandbox:429@mini` for models with "mini" in their
 * name, so that the next candidate can answer.
 */
export const faultIn = (prompt: string, model: string): Fault | null => {
  for (const [, name, only] of prompt.matchAll(/\bsandbox:([a-z]+|[45]\d\d)\b(?:@([\w.-]+))?/g)) {
    if (only !== undefined && !model.includes(only.replace(/[.-]+$/, ''))) continue;
    if (/^\d/.test(name!)) return { kind: 'status', status: Number(name) };
    const kind = KINDS.find((known) => known === name);
    if (kind !== undefined) return { kind };
  }
  return null;
};

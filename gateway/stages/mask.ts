import type { AuditContent } from '../audit/audit-log.ts';
import { GatewayError } from '../errors.ts';
import type { Call } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';
import { splice } from '../protocol/splice.ts';
import type { Entity, OpenVault, RedactRule, Vault } from '../redact/redactor.ts';
import type { Decision } from '../types.gen.ts';
import type { Candidate } from './candidates.ts';
import type { Described } from './describe.ts';
import { allFindings, replacements } from './findings.ts';

/** A call whose values are taken out as the decision says. */
export interface Masked {
  /** The way back, for the answer. */
  readonly vault: Vault;
  /** Number of values replaced, by entity. */
  readonly counts: Readonly<Record<string, number>>;
  /** The body as it goes to a candidate: masked, with its model, its output cap and without removed tools. */
  bodyFor(candidate: Candidate): Buffer;
  /** What the audit keeps of the request; undefined when the decision keeps none. */
  content(candidate: Candidate): AuditContent | undefined;
}

/**
 * Takes out of a body what the decision redacts, wherever describe found it; all other bytes stay. Throws GatewayError
 * `policy_denied` when a found entity is to be blocked.
 */
export const mask = (call: Call, described: Described, decision: Decision, openVault: OpenVault): Masked => {
  const { findings, input } = described;
  const rules = new Map<Entity, RedactRule>(decision.redact.map((rule) => [rule.entity, rule]));
  const counts: Record<string, number> = {};
  for (const { entity } of allFindings(findings)) {
    const rule = rules.get(entity);
    if (!rule) continue;
    if (rule.action === 'block') {
      throw new GatewayError(
        'policy_denied',
        `The request contains a value of the kind ${entity}, which may not be sent.`,
        {
          policyCode: `${entity}_blocked`,
          hint: 'Remove it from the request.',
        },
      );
    }
    counts[entity] = (counts[entity] ?? 0) + 1;
  }
  const { caller, purpose } = input;
  // The conversation: a value has one placeholder in it, and another in everybody else's.
  const scope = JSON.stringify([caller.org, caller.user || caller.id, purpose.session]);
  const vault = openVault(scope, (id) => isTyped(call, id));
  const masks = replacements(findings, (value, { entity }) => {
    const rule = rules.get(entity);
    return rule ? vault.replace(value, entity, rule) : value;
  });
  const protocol = protocolOf(call.endpoint);
  // The audit and the first attempt want the same body.
  let last: { readonly candidate: Candidate; readonly body: Buffer } | undefined;
  const bodyFor = (candidate: Candidate): Buffer => {
    if (last?.candidate === candidate) return last.body;
    const edits = protocol.edit(call, {
      model: candidate.upstreamModel,
      maxOutputTokens: candidate.maxOutputTokens,
      includeUsage: call.stream,
      removeTools: decision.tools.remove,
      // Mistral and most servers of the OpenAI API know the older name of the cap only.
      ...(candidate.upstream.kind === 'openai' ? {} : { capName: 'max_tokens' as const }),
    });
    const body = splice(call.raw, [...masks, ...edits]);
    last = { candidate, body };
    return body;
  };
  const content = (candidate: Candidate): AuditContent | undefined => {
    const { content: kept, retention_days } = decision.audit;
    if (kept === 'none') return undefined;
    return { chunks: [kept === 'full' ? call.raw : bodyFor(candidate)], retentionDays: retention_days };
  };
  return { vault, counts, bodyFor, content };
};

/** Whether the caller wrote `id` itself, as it is or in escapes. */
const isTyped = (call: Call, id: string): boolean =>
  call.raw.includes(id) || (call.raw.includes('\\u') && JSON.stringify(call.body).includes(id));

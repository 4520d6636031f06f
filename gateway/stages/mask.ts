import type { AuditContent } from '../audit/audit-log.ts';
import { GatewayError, isGatewayError } from '../errors.ts';
import type { Call } from '../protocol/protocol.ts';
import type { Entity, OpenVault, RedactRule, Vault } from '../redact/redactor.ts';
import type { Decision } from '../types.gen.ts';
import type { Candidate } from './candidates.ts';
import type { Described } from './describe.ts';
import { allFindings, replacements } from './findings.ts';
import { type OutgoingBody, outgoingBody } from './outgoing.ts';

/** A call whose values are taken out as the decision says. */
export interface Masked {
  /** The way back, for the answer. */
  readonly vault: Vault;
  /** Number of values replaced, by entity. */
  readonly counts: Readonly<Record<string, number>>;
  /** The candidates from the first on whose wire format can say the call. */
  readonly candidates: readonly Candidate[];
  /** The call as it goes to a candidate. Throws GatewayError `invalid_field` for one that cannot be asked this. */
  outgoingFor(candidate: Candidate): OutgoingBody;
  /** What the audit keeps of the request; undefined when the decision keeps none. */
  readonly content: AuditContent | undefined;
  /**
   * The same call with the same values taken out, as one more candidate is asked it, not streamed. Throws GatewayError
   * `invalid_field` for one that cannot be asked this.
   */
  aside(candidate: Candidate): Masked;
}

/**
 * Takes out of a body what the decision redacts, wherever describe found it; all other bytes stay. Throws GatewayError
 * `policy_denied` when a found entity is to be blocked, `invalid_field` when no candidate can be asked this.
 */
export const mask = (
  call: Call,
  described: Described,
  decision: Decision,
  candidates: readonly Candidate[],
  openVault: OpenVault,
): Masked => {
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
  const scope = JSON.stringify([caller.org, decision.acting_for || caller.user || caller.id, purpose.session]);
  const vault = openVault(scope, (id) => isTyped(call, id));
  const masks = replacements(findings, (value, { entity }) => {
    const rule = rules.get(entity);
    return rule ? vault.replace(value, entity, rule) : value;
  });
  const maskedFor = (asked: readonly Candidate[], isWhole: boolean): Masked => {
    // The audit and the first attempt want the same body, and a translated answer what its request said.
    const made = new Map<Candidate, OutgoingBody>();
    const outgoingFor = (candidate: Candidate): OutgoingBody => {
      let outgoing = made.get(candidate);
      if (!outgoing) {
        outgoing = outgoingBody(call, decision, candidate, masks, isWhole);
        made.set(candidate, outgoing);
      }
      return outgoing;
    };
    const sayable = sayableFrom(asked, outgoingFor);
    const content = contentOf(call, decision, outgoingFor, sayable);
    return { vault, counts, candidates: sayable, outgoingFor, content, aside: (one) => maskedFor([one], true) };
  };
  return maskedFor(candidates, false);
};

/** The candidates without those at the front that cannot be asked this. Throws what the first of them could not say. */
const sayableFrom = (
  candidates: readonly Candidate[],
  outgoingFor: (candidate: Candidate) => OutgoingBody,
): readonly Candidate[] => {
  let unsaid: unknown;
  for (const [index, candidate] of candidates.entries()) {
    try {
      outgoingFor(candidate);
      return candidates.slice(index);
    } catch (error) {
      if (!isGatewayError(error) || error.code !== 'invalid_field') throw error;
      unsaid ??= error;
    }
  }
  throw unsaid;
};

/**
 * What the audit keeps: the body as the caller sent it (full), as the first candidate is asked (redacted), or nothing.
 */
const contentOf = (
  call: Call,
  { audit }: Decision,
  outgoingFor: (candidate: Candidate) => OutgoingBody,
  [first]: readonly Candidate[],
): AuditContent | undefined => {
  if (audit.content === 'none' || !first) return undefined;
  return {
    chunks: [audit.content === 'full' ? call.raw : outgoingFor(first).body],
    retentionDays: audit.retention_days,
  };
};

/** Whether the caller wrote `id` itself, as it is or in escapes. */
const isTyped = (call: Call, id: string): boolean =>
  call.raw.includes(id) || (call.raw.includes('\\u') && JSON.stringify(call.body).includes(id));

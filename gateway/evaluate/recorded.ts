import { ContentReader } from '../audit/content.ts';
import { auditLayout } from '../audit/layout.ts';
import { readAudit } from '../audit/read.ts';
import type { AuditIntent, AuditOutcome } from '../types.gen.ts';
import { recordedAnswerText } from './recorded-answer.ts';
import { recordedMessages } from './recorded-messages.ts';

/** Which recorded requests are drawn. */
export interface RecordedFilter {
  /** Organisations that agreed, by their data's `evaluation: true`. */
  readonly organizations: ReadonlySet<string>;
  readonly org?: string | undefined;
  readonly workflow?: string | undefined;
  readonly useCase?: string | undefined;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Only those with the answer of a mirror. */
  readonly mirrored: boolean;
}

/** The tasks drawn, and how many requests were passed over, by reason. */
export interface RecordedTasks {
  readonly tasks: Record<string, unknown>[];
  readonly passedOver: ReadonlyMap<string, number>;
}

const NO_CONSENT = 'of an organisation without `evaluation: true`';
const NOT_KEPT = 'content was not kept, or is gone';
const NO_MIRROR = 'not mirrored';
/** Evaluations would be drawn by the next one. */
const OWN_USE_CASE = 'evaluation';

/**
 * Draws tasks from the audit logs of these folders: requests of organisations that agreed, whose prompt was kept, with
 * their messages as they were kept (redacted stays redacted). Checks the chain on the way. Throws AuditCorruptionError.
 */
export const drawRecorded = async (homes: readonly string[], filter: RecordedFilter): Promise<RecordedTasks> => {
  const passedOver = new Map<string, number>();
  const pass = (reason: string): void => void passedOver.set(reason, (passedOver.get(reason) ?? 0) + 1);
  const mirrors = filter.mirrored ? await mirrorAnswers(homes, filter) : undefined;
  const tasks: Record<string, unknown>[] = [];
  for (const home of homes) {
    const reader = new ContentReader(auditLayout(home));
    const open = new Map<string, { intent: AuditIntent; messages: readonly object[] }>();
    try {
      for await (const { record } of readAudit(home, { kinds: ['intent', 'outcome'] })) {
        if (record.kind === 'intent') {
          if (!isWanted(record, filter, pass)) continue;
          const prompt = record.content && (await reader.decrypt(record.content));
          const messages = prompt ? recordedMessages(prompt) : NOT_KEPT;
          if (typeof messages === 'string') pass(messages);
          else open.set(record.id, { intent: record, messages });
          continue;
        }
        if (record.kind !== 'outcome' || record.id === null) continue;
        const begun = open.get(record.id);
        open.delete(record.id);
        if (!begun) continue;
        const mirror = mirrors?.get(record.id);
        if (mirrors && mirror === undefined) {
          pass(NO_MIRROR);
          continue;
        }
        const kept = record.content && (await reader.decrypt(record.content));
        tasks.push(taskOf(begun.intent, record, begun.messages, kept ? recordedAnswerText(kept) : undefined, mirror));
      }
    } finally {
      await reader.close();
    }
  }
  return { tasks, passedOver };
};

const isWanted = (intent: AuditIntent, filter: RecordedFilter, pass: (reason: string) => void): boolean => {
  // What a mirror was asked is the same request once more.
  if (intent.mirror_of !== undefined) return false;
  const timeMs = Date.parse(intent.time);
  if (!(timeMs >= filter.sinceMs && timeMs <= filter.untilMs)) return false;
  const { caller, purpose, request } = factsOf(intent);
  if (filter.org !== undefined && caller.org !== filter.org) return false;
  if (filter.workflow !== undefined && purpose.workflow !== filter.workflow) return false;
  if (filter.useCase === undefined ? purpose.use_case === OWN_USE_CASE : purpose.use_case !== filter.useCase)
    return false;
  if (!filter.organizations.has(caller.org)) {
    pass(NO_CONSENT);
    return false;
  }
  if (request.endpoint === 'chat.completions' || request.endpoint === 'messages') return true;
  pass(`endpoint ${request.endpoint}`);
  return false;
};

interface Facts {
  readonly caller: { readonly org: string };
  readonly purpose: { readonly workflow: string; readonly use_case: string };
  readonly request: { readonly endpoint: string };
  readonly content: { readonly signals?: object };
}

const factsOf = ({ input }: AuditIntent): Facts => input as unknown as Facts;

const taskOf = (
  intent: AuditIntent,
  { model, time }: AuditOutcome,
  messages: readonly object[],
  answer: string | undefined,
  mirror: MirrorAnswer | undefined,
): Record<string, unknown> => {
  const { caller, purpose, content } = factsOf(intent);
  return {
    id: intent.id,
    messages,
    ...(answer === undefined ? {} : { answer }),
    ...(mirror === undefined ? {} : { mirror_answer: mirror.text, mirror_model: mirror.model }),
    model: model ?? '',
    org: caller.org,
    workflow: purpose.workflow,
    use_case: purpose.use_case,
    time,
    signals: content.signals ?? {},
  };
};

interface MirrorAnswer {
  readonly text: string;
  readonly model: string;
}

/** What mirrors answered, by the decision that they mirrored. They may be in another process's log. */
const mirrorAnswers = async (
  homes: readonly string[],
  { sinceMs }: RecordedFilter,
): Promise<ReadonlyMap<string, MirrorAnswer>> => {
  const answers = new Map<string, MirrorAnswer>();
  for (const home of homes) {
    const reader = new ContentReader(auditLayout(home));
    try {
      for await (const { record } of readAudit(home, { kinds: ['outcome'] })) {
        if (record.kind !== 'outcome' || record.mirror_of === undefined || !record.content) continue;
        if (Date.parse(record.time) < sinceMs) continue;
        const kept = await reader.decrypt(record.content);
        const text = kept && recordedAnswerText(kept);
        if (text !== undefined) answers.set(record.mirror_of, { text, model: record.model ?? '' });
      }
    } finally {
      await reader.close();
    }
  }
  return answers;
};

import { GatewayError } from '../errors.ts';
import { type Exchange, stopping } from '../exchange.ts';
import type { Json } from '../protocol/fields.ts';
import type { Call } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';
import { providerErrorOf } from '../protocol/provider-error.ts';
import { tellsRefusal } from '../protocol/refusal.ts';
import { mayTellError } from '../protocol/stream-events.ts';
import { estimateTokens } from '../tokens.ts';
import { failureError } from '../upstream/classify.ts';
import type { Evidence } from './account.ts';
import { outputTokenBound } from './admit.ts';
import type { Answer } from './forward.ts';
import { restoreAnswer } from './restore.ts';
import { saidError, translated } from './translated.ts';

/** An unstreamed answer, or a refusal. */
export interface WholeAnswer {
  /** As the upstream sent it, without the operator's keys. */
  readonly received: Buffer;
  /** In the caller's wire format, its values put back. */
  readonly sent: Buffer;
  /** Whether the answer, of whatever status, says an error. */
  readonly isError: boolean;
}

/**
 * Reads the whole body of an answer, of at most `maxBytes`. The exchange keeps what is known of the provider's work, also
 * of an answer that breaks off. Throws GatewayError `upstream_error` or `upstream_timeout` when it breaks off, is too large
 * or no JSON, or says in another wire format than the caller's an error where an answer was due; `shutting_down`.
 */
export const readWhole = async (x: Exchange, call: Call, answer: Answer, maxBytes: number): Promise<WholeAnswer> => {
  const { translation } = answer.candidate;
  const protocol = protocolOf(call.endpoint);
  const wire = protocolOf(answer.candidate.wire);
  const isOk = answer.status < 400;
  const chunks: Buffer[] = [];
  const most = outputTokenBound(call, answer.candidate.maxOutputTokens);
  const evidence: Evidence = {
    model: answer.candidate.model,
    reported: null,
    // Of an answer that broke off: what came of it.
    outputEstimate: () => Math.min(most, estimateTokens([Buffer.concat(chunks).toString()])),
  };
  if (isOk && protocol.isBilled) x.evidence = evidence;
  const whole = await collect(x, answer, maxBytes, chunks);
  const received = isOk && !mayTellError(whole) ? whole : answer.candidate.upstream.hideKeys(whole);
  const body = parse(received);
  if (isOk && body === undefined) {
    throw new GatewayError('upstream_error', 'The model provider gave an answer that is not valid JSON.');
  }
  // The page of a proxy on the way: it may name hosts, and no client of the API could read it.
  if (body === undefined) {
    const { status } = answer;
    throw new GatewayError('upstream_error', 'The model provider refused the request and did not say why.', { status });
  }
  if (x.evidence) {
    const texts = () => wire.answerTexts(body).flatMap(({ value, isRepeat }) => (isRepeat ? [] : [value]));
    const outputEstimate = () => Math.min(most, estimateTokens(texts()));
    x.evidence = { ...evidence, reported: wire.usage(body), outputEstimate };
  }
  x.refused = tellsRefusal(body);
  // Some answer 200 and say an error. In the caller's own format it reads it there; another would make nothing of it.
  const failed = isOk ? providerErrorOf(body) : null;
  if (failed && translation) throw saidError(failed, answer.candidate);
  const said = translation ? translated(x, call, answer, translation, body) : body;
  const vault = x.products.masked?.vault;
  const isRestored = vault !== undefined && vault.size > 0 && restoreAnswer(protocol, said, vault);
  const sent = isRestored || translation ? Buffer.from(JSON.stringify(said)) : received;
  return { received, sent, isError: failed !== null };
};

/**
 * The whole body of an unstreamed answer, gathered in `chunks`. Throws GatewayError when it breaks off or is too large.
 */
const collect = (x: Exchange, answer: Answer, maxBytes: number, chunks: Buffer[]): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    let bytes = 0;
    answer.deliver({
      data(chunk) {
        bytes += chunk.length;
        if (bytes > maxBytes) {
          reject(new GatewayError('upstream_error', 'The answer of the model provider is too large.'));
          answer.flow.abort();
        } else chunks.push(chunk);
      },
      end: () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
      fail: (failure) => reject(x.stopped ? stopping() : failureError(failure)),
    });
  });

const parse = (bytes: Buffer): Json | undefined => {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
};

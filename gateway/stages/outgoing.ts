import type { Json } from '../protocol/fields.ts';
import { scanJson } from '../protocol/json-scan.ts';
import type { Call, Splice } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';
import { splice } from '../protocol/splice.ts';
import { unstreamed } from '../protocol/unstreamed.ts';
import type { Decision } from '../types.gen.ts';
import type { Candidate } from './candidates.ts';
import type { Outgoing } from './forward.ts';
import type { Head } from './receive.ts';

/** A call as a candidate is asked. */
export interface OutgoingBody {
  readonly body: Buffer;
  /** The same in the caller's own words, parsed, where it was translated; null where it was not. */
  readonly said: Json | null;
}

/** A translation may nest a caller's deepest value by so much more. */
const DEPTH = 128;

/**
 * The body for a candidate: the caller's with `masks`, the candidate's model and output cap, and without removed
 * tools, translated where the candidate is asked in another wire format, and with `isWhole` not streamed. Throws GatewayError `invalid_field` for what
 * cannot be said there.
 */
export const outgoingBody = (
  call: Call,
  decision: Decision,
  candidate: Candidate,
  masks: readonly Splice[],
  isWhole = false,
): OutgoingBody => {
  const { translation, upstream } = candidate;
  const protocol = protocolOf(call.endpoint);
  const edits = protocol.edit(call, {
    model: candidate.upstreamModel,
    ...(protocol.hasOutput ? { maxOutputTokens: candidate.maxOutputTokens } : {}),
    removeTools: decision.tools.remove,
    ...(translation ? {} : { includeUsage: call.stream && !isWhole, kind: upstream.kind }),
  });
  const streamed = splice(call.raw, [...masks, ...edits]);
  const own = isWhole && call.stream ? unstreamed(streamed) : streamed;
  if (!translation) return { body: own, said: null };
  const said = JSON.parse(own.toString('utf8')) as Json;
  const translated = translation.request(said);
  const raw = Buffer.from(JSON.stringify(translated));
  const wire = protocolOf(candidate.wire);
  const target = wire.read(raw, scanJson(raw, { maxDepth: DEPTH }), translated);
  return { body: splice(raw, wire.edit(target, { includeUsage: target.stream, kind: upstream.kind })), said };
};

/** Where a candidate is asked, and the caller's headers that go along: those of the API that both speak. */
export const wayTo = (
  { wire, translation }: Candidate,
  head: Pick<Head, 'isBeta' | 'upstreamHeaders'>,
): Pick<Outgoing, 'path' | 'headers'> => {
  const { upstreamPath } = protocolOf(wire);
  if (translation) return { path: upstreamPath, headers: NONE };
  const isBeta = head.isBeta && wire.startsWith('messages');
  return { path: isBeta ? `${upstreamPath}?beta=true` : upstreamPath, headers: head.upstreamHeaders };
};

const NONE: Readonly<Record<string, string>> = {};

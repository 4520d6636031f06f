import { relayedErrorBody } from '../answer-error.ts';
import { GatewayError } from '../errors.ts';
import type { Exchange } from '../exchange.ts';
import type { Json } from '../protocol/fields.ts';
import type { Call, Dialect } from '../protocol/protocol.ts';
import { type ProviderError, providerErrorOf } from '../protocol/provider-error.ts';
import type { Translation, TranslationContext } from '../protocol/translation.ts';
import { isContextOverflow } from '../upstream/classify.ts';
import type { Candidate } from './candidates.ts';
import type { Answer } from './forward.ts';

/** An answer or a refusal in the caller's wire format. */
export const translated = (
  x: Exchange,
  call: Call,
  { status, candidate }: Answer,
  translation: Translation,
  body: Json,
): Json => {
  if (status < 400) return translation.answer(body, translationContext(x, call, candidate));
  const error = providerErrorOf(body) ?? UNSAID;
  const isTooLong = isContextOverflow(status, Buffer.from(JSON.stringify(body)));
  return relayedErrorBody(isTooLong ? tooLong(error, call.dialect) : error, status, x, call);
};

/** By these words agents know that they have to shorten their conversation. */
const tooLong = (error: ProviderError, dialect: Dialect): ProviderError =>
  dialect === 'openai'
    ? { ...error, code: 'context_length_exceeded' }
    : { ...error, message: `prompt is too long: ${error.message}` };

/** What a provider said went wrong where an answer was due, as the caller's error. */
export const saidError = ({ message }: ProviderError, { upstream }: Candidate): GatewayError =>
  new GatewayError('upstream_error', upstream.hideKeys(Buffer.from(message)).toString('utf8'));

const UNSAID = {
  message: 'The model provider refused the request and did not say why.',
  type: '',
  code: '',
  param: null,
};

/** What a translator knows of this call. Throws TypeError before the call was sent. */
export const translationContext = (x: Exchange, call: Call, candidate: Candidate): TranslationContext => {
  const said = x.products.masked?.outgoingFor(candidate).said;
  if (!said) throw new TypeError('a translated answer to a call that was not translated');
  return {
    body: said,
    id: x.ids.requestId.replace('req_', ''),
    created: Math.floor(x.receivedAt / 1000),
    includeUsage: call.includeUsage,
  };
};

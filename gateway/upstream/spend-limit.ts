import { isObject } from '../protocol/fields.ts';
import { type ProviderError, providerErrorOf } from '../protocol/provider-error.ts';

/**
 * What providers say when an account has no money: exact codes and types, and how messages begin. What a caller wrote
 * and a provider quotes back stands in the middle of a message and so cannot be taken for one.
 * Sources: the error references of OpenAI and Azure (`insufficient_quota`, `billing_*`), Anthropic (`billing_error`; 400
 * `invalid_request_error` with the messages below), LiteLLM (`budget_exceeded`), Mistral and xAI (messages).
 */
const CODES: ReadonlySet<string> = new Set([
  'insufficient_quota',
  'billing_hard_limit_reached',
  'billing_not_active',
  'billing_error',
  'budget_exceeded',
  'insufficient_balance',
  'insufficient_credits',
]);
const MESSAGES: readonly string[] = [
  'your credit balance is too low',
  'you have reached your specified api usage limits',
  'inactive subscription or usage limit reached',
  'budget has been exceeded',
  'insufficient balance',
  'your account is not active, please check your billing',
];
const STATUSES: ReadonlySet<number> = new Set([400, 401, 403, 429]);

/**
 * Whether an answer says that the account behind a key has spent its money, so that waiting for a moment does not help:
 * any 402, and the ways of the providers above.
 */
export const isSpendLimit = (status: number | null, body: Buffer): boolean => {
  if (status === 402) return true;
  if (status === null || !STATUSES.has(status)) return false;
  const error = parsedError(body);
  if (!error) return false;
  if (CODES.has(error.code) || CODES.has(error.type)) return true;
  const message = error.message.toLowerCase();
  return MESSAGES.some((start) => message.startsWith(start));
};

/** The error that a refusal's body tells of, Mistral's bare `{message}` too; null where it is no JSON or none. */
export const parsedError = (body: Buffer): ProviderError | null => {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return (
      providerErrorOf(value) ?? (isObject(value) && typeof value.message === 'string' ? bare(value.message) : null)
    );
  } catch {
    return null;
  }
};

const bare = (message: string): ProviderError => ({ message, type: '', code: '', param: null });

import { InvalidArgumentError } from 'commander';
import { parseDuration } from './duration.ts';

const DAY_MS = 86_400_000;
/** A bundle whose signature expires within this is worth a word. */
export const EXPIRES_SOON_MS = 14 * DAY_MS;

/** The time of `90d` from now, or of an RFC 3339 text. For commander: throws InvalidArgumentError. */
export const parseExpiry = (text: string): Date => {
  const durationMs = parseDuration(text);
  if (durationMs !== undefined) return new Date(Date.now() + durationMs);
  const time = new Date(text);
  if (!/^\d{4}-\d\d-\d\d/.test(text) || Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError('want a duration such as 90d, or a time such as 2027-01-31T00:00:00Z');
  }
  return time;
};

/** What is wrong with when a bundle expires (seconds since 1970); undefined when nothing is. */
export const expiryWarning = (exp: number | undefined, nowMs: number): string | undefined => {
  if (exp === undefined || exp * 1000 - nowMs >= EXPIRES_SOON_MS) return undefined;
  const days = Math.max(0, Math.floor((exp * 1000 - nowMs) / DAY_MS));
  return `it expires in ${days} ${days === 1 ? 'day' : 'days'}: a gateway that starts later will not serve it; ./aegis sign it with a later --expires`;
};

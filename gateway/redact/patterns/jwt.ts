import { DIGIT, HYPHEN, isIn, LETTER, runEnd, UNDERSCORE } from './characters.ts';
import type { Scan } from './scan.ts';

const BASE64URL = DIGIT | LETTER | UNDERSCORE | HYPHEN;
/** `{"alg":"x"}` in base64url is 16 long. */
const HEADER_MIN = 16;

/**
 * The end of a token in JWS or JWE compact serialisation (RFC 7515 7.1, RFC 7516 7.1) that starts at `start`, or -1.
 * A JWS has two parts after the header, and its payload is a JSON object; a JWE has four.
 */
const tokenEnd = (text: string, start: number): number => {
  let end = runEnd(text, start, BASE64URL);
  if (end - start < HEADER_MIN) return -1;
  const hasClaims = text.startsWith('.eyJ', end);
  let parts = 1;
  while (parts < 5 && text.charAt(end) === '.') {
    end = runEnd(text, end + 1, BASE64URL);
    parts++;
  }
  return parts === 5 || (hasClaims && parts >= 3) ? end : -1;
};

/** JSON Web Tokens. The search stops at `J`: rarer in prose than the `e` of `eyJ`, the base64 of `{"`. */
export const scanJwts: Scan = (text, found) => {
  let at = text.indexOf('J');
  while (at !== -1) {
    let next = at + 1;
    const start = at - 2;
    // Within a run of base64url only its start is tried, so each run is walked at most twice.
    if (start >= 0 && text.startsWith('ey', start) && !isIn(text, start - 1, BASE64URL)) {
      const end = tokenEnd(text, start);
      if (end !== -1) {
        found.push({ entity: 'api_key', start, end, kind: 'jwt' });
        next = end;
      }
    }
    at = text.indexOf('J', next);
  }
};

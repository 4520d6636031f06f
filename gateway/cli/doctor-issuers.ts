import type { IssuerSettings } from '../config.ts';
import { openIssuerKeys } from '../identity/issuer-keys.ts';
import { type Check, ok, problem } from './doctor-check.ts';

/** Asks each issuer of tokens for its keys, as the gateway does. */
export const checkIssuers = (issuers: readonly IssuerSettings[], timeoutMs: number): Promise<Check[]> =>
  Promise.all(issuers.map((issuer) => checkIssuer(issuer, timeoutMs)));

const checkIssuer = async ({ issuer, jwks_uri: uri }: IssuerSettings, timeoutMs: number): Promise<Check> => {
  const check = `issuer ${issuer}`;
  let why = 'nothing came';
  const logger = {
    info: () => {},
    warn: ({ cause }: { cause?: unknown }) => {
      why = String(cause);
    },
  };
  const keys = openIssuerKeys(uri, { refreshMs: 3_600_000, cooldownMs: 0, timeoutMs, logger });
  try {
    await keys.look();
    return keys.failing
      ? problem(
          check,
          `its keys cannot be had: ${why}`,
          `see that ${uri} can be reached from here and answers with a JWKS`,
        )
      : ok(check, `its keys can be had at ${uri}`);
  } finally {
    await keys.close();
  }
};

import type { UpstreamSettings } from '../config.ts';
import { endpointOf } from '../upstream/endpoint.ts';
import { createRequestHeaders } from '../upstream/headers.ts';
import { type Check, ok, problem, sentenceOf, warning } from './doctor-check.ts';
import { type Probe, probe } from './probe.ts';

/** What was found of one upstream, and what its server says the time is (milliseconds since 1970; null if it does not). */
export interface UpstreamChecks {
  readonly checks: readonly Check[];
  readonly serverTimeMs: number | null;
}

/** Asks an upstream for its models with each of its keys: the cheapest request that tells whether a key is accepted. */
export const checkUpstream = async (config: UpstreamSettings, timeoutMs: number): Promise<UpstreamChecks> => {
  const check = `upstream ${config.name}`;
  if (config.kind === 'sandbox') {
    return { checks: [ok(check, 'played by the offline sandbox')], serverTimeMs: null };
  }
  const keys = config.api_keys?.map(({ key }) => key) ?? (config.api_key ? [config.api_key] : []);
  const checks: Check[] = [];
  let serverTimeMs: number | null = null;
  try {
    const { origin, endpoints, pathOf } = endpointOf(config);
    const headersOf = createRequestHeaders(config, keys);
    const wire = endpoints.includes('chat.completions') ? 'chat.completions' : (endpoints[0] ?? 'chat.completions');
    for (const key of keys.length === 0 ? [-1] : keys.keys()) {
      const headers = headersOf({}, wire, key);
      const found = await probe({ origin, path: pathOf('/models'), headers, timeoutMs });
      const name = keys.length > 1 ? `${check} key ${key + 1}` : check;
      checks.push(judge(name, found, origin, config));
      serverTimeMs ??= timeOf(found);
      // Where there is no way to the server, another key has none either.
      if (found.failed !== null && found.failed !== 'http') break;
    }
  } catch (error) {
    checks.push(problem(check, sentenceOf(error), 'correct the upstream in the config'));
  }
  return { checks, serverTimeMs };
};

const timeOf = ({ headers }: Probe): number | null => {
  const time = Date.parse(headers.date ?? '');
  return Number.isNaN(time) ? null : time;
};

const judge = (check: string, found: Probe, origin: string, config: UpstreamSettings): Check => {
  const took = found.steps.map(({ step, ms }) => `${step} ${ms} ms`).join(', ');
  if (found.failed !== null) return unreachable(check, found, origin, took === '' ? '' : ` (${took})`);
  const { status } = found;
  const said = `GET models ${status} (${took})`;
  if (status >= 200 && status < 300) return ok(check, said);
  if (status === 401) return problem(check, `the key is not accepted: ${said}`, `set a valid ${keyName(config)}`);
  if (status === 403) {
    return problem(
      check,
      `the key may not do this: ${said}`,
      'give the key its rights at the provider, or use another',
    );
  }
  if (status === 404 || status === 405) {
    const fix = 'check base_url: that of an OpenAI-style server ends in /v1, that of Anthropic does not';
    return warning(check, `it answers, but lists no models, so the key is not tested: ${said}`, fix);
  }
  if (status === 429)
    return warning(check, `the account is limited now: ${said}`, 'wait, or raise the limit at the provider');
  if (status >= 300 && status < 400) {
    const to = found.headers.location ?? 'elsewhere';
    return problem(check, `it redirects to ${to}: ${said}`, 'set base_url to where it is: redirects are not followed');
  }
  if (status >= 500) return warning(check, `it has trouble of its own: ${said}`, 'see the provider’s status page');
  return problem(check, `it refuses: ${said}`, 'check base_url and key');
};

const keyName = ({ api_keys, api_key }: UpstreamSettings): string =>
  api_keys || api_key ? 'api_key' : 'api_key: it has none';

const unreachable = (check: string, { failed, code }: Probe, origin: string, took: string): Check => {
  const { hostname } = new URL(origin);
  if (failed === 'dns') {
    return problem(
      check,
      `${hostname} is not resolved: ${code}${took}`,
      'check base_url and the resolver of this machine',
    );
  }
  if (failed === 'tcp') {
    const fix =
      code === 'ECONNREFUSED'
        ? 'start the server, or correct the port in base_url'
        : 'check base_url, route and firewall';
    return problem(check, `no connection to ${origin}: ${code}${took}`, fix);
  }
  if (failed === 'tls') {
    return problem(
      check,
      `TLS with ${hostname} fails: ${code}${took}`,
      TLS_FIXES[code] ?? 'check certificate and base_url',
    );
  }
  return problem(check, `${origin} is connected to, but does not answer: ${code}${took}`, 'see the log of that server');
};

/** By OpenSSL's and Node's names of what is wrong. */
const TLS_FIXES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'renew the server’s certificate, or set the clock of this machine',
  CERT_NOT_YET_VALID: 'set the clock of this machine',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'give its certificate to the gateway: NODE_EXTRA_CA_CERTS=/path/to/ca.pem',
  SELF_SIGNED_CERT_IN_CHAIN: 'give its CA to the gateway: NODE_EXTRA_CA_CERTS=/path/to/ca.pem',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'let the server send its chain, or set NODE_EXTRA_CA_CERTS=/path/to/ca.pem',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'give its CA to the gateway: NODE_EXTRA_CA_CERTS=/path/to/ca.pem',
  ERR_TLS_CERT_ALTNAME_INVALID: 'use in base_url a name that the certificate has',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the server speaks plain HTTP: http:// in base_url, or another port',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'the server speaks plain HTTP: http:// in base_url, or another port',
};

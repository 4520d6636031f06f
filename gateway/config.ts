import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import { type Document, isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { parseClaimPath } from './claim-path.ts';
import { isLoopback } from './loopback.ts';
import { nearestName } from './nearest-name.ts';
import type { Config } from './types.gen.ts';
import { webhookSecretOf } from './webhook-secret.ts';

/** A config with every default filled in and every path absolute. */
export interface Settings {
  readonly listen: Address;
  readonly adminListen: Address;
  readonly home: string;
  /** Where this process keeps its audit log and its last known good bundle: the home, but for workers beside the first. */
  readonly logHome: string;
  /** Whether other processes listen on the same address. */
  readonly reusePort: boolean;
  readonly limits: { readonly bodyBytes: number; readonly depth: number; readonly responseBytes: number };
  readonly upstreams: readonly UpstreamSettings[];
  readonly bundles: {
    /** A folder's absolute path, or an http(s) address. */
    readonly source: string;
    /** Empty: none is sent. */
    readonly token: string;
    readonly publicKeys: readonly string[];
    readonly pollMs: number;
  };
  readonly checkpointMs: number;
  /** An empty url: the embedded store in the home. 0 days: no decisions are kept there. */
  readonly store: { readonly url: string; readonly decisionsDays: number };
  /** An empty url: limits live in memory. */
  readonly redis: { readonly url: string; readonly prefix: string };
  /** Null where nobody is told. */
  readonly alerts: {
    readonly webhook: { readonly url: string; readonly secret: string };
    readonly thresholds: readonly number[];
  } | null;
  readonly telemetry: {
    /** Null where nothing is sent. */
    readonly otlpEndpoint: string | null;
    readonly headers: Readonly<Record<string, string>>;
    readonly tracesSampleRatio: number;
    readonly metricsIntervalMs: number;
  };
  readonly identity: {
    readonly jwt: readonly IssuerSettings[];
    /** How long keys that cannot be looked at again are believed. */
    readonly maxStaleMs: number;
  };
  readonly logLevel: NonNullable<Config['log_level']>;
}

export type UpstreamSettings = Config['upstreams'][number];

/** An issuer of tokens, and where the caller is in them. */
export type IssuerSettings = NonNullable<NonNullable<Config['identity']>['jwt']>[number];

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What is wrong with a config: every finding at once, each `file:line:column message`. */
export class ConfigError extends Error {
  readonly findings: readonly string[];

  constructor(findings: readonly string[]) {
    super(findings.join('\n'));
    this.name = 'ConfigError';
    this.findings = findings;
  }
}

const schema = JSON.parse(readFileSync(new URL('../schemas/config.json', import.meta.url), 'utf8'));
const validate = new Ajv({ allErrors: true, useDefaults: true, strictTypes: false }).compile<Required<Config>>(schema);

/**
 * Reads aegis.yaml. `${NAME}` is replaced from the environment and fails when unset; `${NAME:-default}` does not.
 * Throws ConfigError.
 */
export const readConfig = (file: string, env: NodeJS.ProcessEnv): Settings => parseConfig(readText(file), file, env);

/** The same for a text; `file` names it in findings and anchors relative paths. Throws ConfigError. */
export const parseConfig = (text: string, file: string, env: NodeJS.ProcessEnv): Settings => parse(text, file, env);

/** With `only` the other fields of the file are left out, as if they were not there. */
const parse = (text: string, file: string, env: NodeJS.ProcessEnv, only?: readonly string[]): Settings => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  if (only && isMap(document.contents)) {
    const { contents } = document;
    contents.items = contents.items.filter(({ key }) => isScalar(key) && only.includes(String(key.value)));
  }
  const at = (offset: number | undefined) => {
    const { line, col } = lines.linePos(offset ?? 0);
    return `${file}:${line}:${col}`;
  };
  const findings = document.errors.map((error) => `${at(error.pos[0])} ${error.message.split('\n')[0]}`);
  if (findings.length === 0) findings.push(...substitute(document, env, at));
  const own = document.toJS() ?? {};
  const value = only ? { upstreams: [{ name: 'none', kind: 'sandbox' }], ...own } : own;
  if (findings.length === 0 && !validate(value)) {
    for (const error of validate.errors ?? []) findings.push(`${at(locate(document, error))} ${describeError(error)}`);
  }
  if (findings.length > 0) throw new ConfigError(findings);
  return settings(value, dirname(resolve(file)), env, (path) => at(locatePath(document, path)));
};

/**
 * Of aegis.yaml only where its store is, for commands that need nothing else: what the rest of the file wants of the
 * environment, such as providers' keys, need not be there. Throws ConfigError.
 */
export const readStorePlace = (file: string, env: NodeJS.ProcessEnv): Pick<Settings, 'home' | 'store'> =>
  parse(readText(file), file, env, ['home', 'store']);

/** The same, and where its bundles are. Throws ConfigError. */
export const readBundlesPlace = (file: string, env: NodeJS.ProcessEnv): Pick<Settings, 'home' | 'store' | 'bundles'> =>
  parse(readText(file), file, env, ['home', 'store', 'bundles']);

const readText = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError([`${file}: cannot be read: ${(error as { code?: string }).code}`]);
  }
};

const VARIABLE = /\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

const substitute = (document: Document, env: NodeJS.ProcessEnv, at: (offset?: number) => string): string[] => {
  const findings: string[] = [];
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value !== 'string' || !node.value.includes('${')) return;
      node.value = node.value.replace(VARIABLE, (_match, name: string, fallback: string | undefined) => {
        const value = env[name] || fallback;
        if (value === undefined) findings.push(`${at(node.range?.[0])} the environment variable ${name} is not set`);
        return value ?? '';
      });
    },
  });
  return findings;
};

const settings = (
  config: Required<Config>,
  folder: string,
  env: NodeJS.ProcessEnv,
  at: (path: string[]) => string,
): Settings => {
  const findings: string[] = [];
  const address = (text: string, path: string[]): Address => {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
    const port = Number(match?.[3]);
    if (match && port <= 65535) return { host: (match[1] ?? match[2]) as string, port };
    findings.push(`${at(path)} ${path.join('.')} must be host:port, not ${JSON.stringify(text)}`);
    return { host: '', port: 0 };
  };
  const seen = new Set<string>();
  config.upstreams.forEach((upstream, index) => {
    const path = ['upstreams', String(index)];
    if (seen.has(upstream.name)) findings.push(`${at([...path, 'name'])} upstream ${upstream.name} is defined twice`);
    seen.add(upstream.name);
    const { name, kind, api_keys: keys } = upstream;
    if ((kind === 'openai_compatible' || kind === 'litellm') && !upstream.base_url) {
      findings.push(`${at(path)} upstream ${name} of kind ${kind} needs a base_url`);
    }
    if (['openai', 'anthropic', 'mistral'].includes(kind) && !upstream.api_key && !keys) {
      findings.push(`${at(path)} upstream ${name} of kind ${kind} needs an api_key`);
    }
    if (upstream.api_key !== undefined && keys) {
      findings.push(`${at([...path, 'api_keys'])} upstream ${name} has both api_key and api_keys: keep one of them`);
    }
    if (keys && new Set(keys.map(({ key }) => key)).size < keys.length) {
      findings.push(`${at([...path, 'api_keys'])} upstream ${name} has the same key twice in api_keys: use its weight`);
    }
  });
  findings.push(
    ...issuerFindings(config.identity.jwt ?? []).map(({ path, why }) => `${at(path)} ${path.join('.')} ${why}`),
  );
  if (config.telemetry.headers && !config.telemetry.otlp_endpoint) {
    findings.push(`${at(['telemetry', 'headers'])} telemetry.headers without an otlp_endpoint go nowhere`);
  }
  const home = env.AEGIS_HOME ? resolve(env.AEGIS_HOME) : resolve(folder, config.home);
  const { webhook } = config.alerts ?? {};
  // Alerts name budgets and people: they leave this machine encrypted only.
  if (webhook && !isSafeAddress(webhook.url)) {
    findings.push(`${at(['alerts', 'webhook', 'url'])} alerts.webhook.url must be https, or http on loopback`);
  }
  if (webhook && !webhookSecretOf(webhook.secret)) {
    findings.push(
      `${at(['alerts', 'webhook', 'secret'])} alerts.webhook.secret must be whsec_ and the base64 of 24 to 64 random bytes`,
    );
  }
  findings.push(
    ...sourceFindings(config.bundles).map(({ path, why }) => `${at(['bundles', path])} bundles.${path} ${why}`),
  );
  const source = config.bundles.source as string;
  const result: Settings = {
    listen: address(env.AEGIS_LISTEN || config.listen, ['listen']),
    adminListen: address(env.AEGIS_ADMIN_LISTEN || (config.admin.listen as string), ['admin', 'listen']),
    home,
    logHome: home,
    reusePort: false,
    limits: {
      bodyBytes: config.limits.body_bytes as number,
      depth: config.limits.depth as number,
      responseBytes: config.limits.response_bytes as number,
    },
    upstreams: config.upstreams,
    bundles: {
      source: isWebAddress(source) ? (URL.parse(source)?.href ?? '') : resolve(folder, source),
      token: config.bundles.token as string,
      publicKeys: (config.bundles.public_keys as string[]).map((path) => resolve(folder, path)),
      pollMs: (config.bundles.poll_s as number) * 1000,
    },
    checkpointMs: (config.audit.checkpoint_s as number) * 1000,
    store: { url: config.store.url as string, decisionsDays: config.store.decisions_days as number },
    redis: { url: config.redis.url as string, prefix: config.redis.prefix as string },
    alerts: config.alerts ? { webhook: config.alerts.webhook, thresholds: config.alerts.thresholds as number[] } : null,
    telemetry: {
      otlpEndpoint: config.telemetry.otlp_endpoint ?? null,
      headers: config.telemetry.headers ?? {},
      tracesSampleRatio: config.telemetry.traces_sample_ratio as number,
      metricsIntervalMs: (config.telemetry.metrics_interval_s as number) * 1000,
    },
    identity: {
      jwt: config.identity.jwt as IssuerSettings[],
      maxStaleMs: (config.identity.max_stale_s as number) * 1000,
    },
    logLevel: config.log_level,
  };
  if (findings.length > 0) throw new ConfigError(findings);
  return result;
};

const isWebAddress = (text: string): boolean => /^https?:\/\//i.test(text);

/**
 * What is wrong with the bundles' source beyond its schema. Plain http is tolerable for bundles, which are signed; what is
 * sent to it anybody on the way can read.
 */
const sourceFindings = ({ source = '', token = '' }: Required<Config>['bundles']): { path: string; why: string }[] => {
  if (!isWebAddress(source)) {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(source))
      return [{ path: 'source', why: 'must be a folder or an http(s) address' }];
    return token === '' ? [] : [{ path: 'token', why: 'is sent to an http(s) source only: this source is a folder' }];
  }
  const url = URL.parse(source);
  if (url === null) return [{ path: 'source', why: 'is no address that can be read' }];
  const findings: { path: string; why: string }[] = [];
  const find = (path: string, why: string): number => findings.push({ path, why });
  if (url.username !== '' || url.password !== '') find('source', 'must not hold a user or password: use bundles.token');
  if (url.hash !== '') find('source', 'must not have a fragment (#…)');
  if (url.pathname.endsWith('/') && url.search !== '') find('source', 'of a folder must not have a query (?…)');
  if (/[^\x21-\x7e]/.test(token)) find('token', 'must be printable ASCII without spaces');
  if (token !== '' && url.username === '' && !isSafeAddress(source))
    find('token', 'goes to https, or http on loopback, only');
  return findings;
};

/** What is wrong with the issuers beyond their schema. */
const issuerFindings = (issuers: readonly IssuerSettings[]): { path: string[]; why: string }[] => {
  const findings: { path: string[]; why: string }[] = [];
  const seen = new Set<string>();
  for (const [index, { issuer, audience, jwks_uri: uri, claims, allow_claims: shown = [] }] of issuers.entries()) {
    const path = ['identity', 'jwt', String(index)];
    const name = JSON.stringify([issuer, audience]);
    if (seen.has(name)) findings.push({ path: [...path, 'issuer'], why: 'has this audience twice' });
    seen.add(name);
    // Whoever can answer for the address can make any caller.
    if (!isSafeAddress(uri)) findings.push({ path: [...path, 'jwks_uri'], why: 'must be https, or http on loopback' });
    const paths: [string[], unknown][] = [
      ...Object.entries(claims).map(([field, source]): [string[], unknown] => [['claims', field], source]),
      ...shown.map((text, at): [string[], unknown] => [['allow_claims', String(at)], text]),
    ];
    for (const [where, text] of paths) {
      const why = typeof text === 'string' ? claimPathError(text) : undefined;
      if (why) findings.push({ path: [...path, ...where], why });
    }
  }
  return findings;
};

const isSafeAddress = (text: string): boolean => {
  const url = URL.parse(text);
  if (url === null || url.username !== '' || url.password !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname.replace(/^\[|\]$/g, '')));
};

const claimPathError = (text: string): string | undefined => {
  try {
    parseClaimPath(text);
    return undefined;
  } catch (error) {
    return `is no path of a claim: ${(error as Error).message}`;
  }
};

const locate = (document: Document, error: ErrorObject): number | undefined => {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const unknown = error.params.additionalProperty as string | undefined;
  if (unknown !== undefined) {
    const parent = path.length === 0 ? document.contents : document.getIn(path, true);
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === unknown);
      return (pair?.key as Node | undefined)?.range?.[0];
    }
  }
  return locatePath(document, path);
};

/** The offset of the deepest part of `path` that exists, so that a missing field points at where it belongs. */
const locatePath = (document: Document, path: string[]): number | undefined => {
  let node: unknown = document.contents;
  for (const part of path) {
    const next = isMap(node) ? node.get(part, true) : isSeq(node) ? node.get(Number(part), true) : undefined;
    if (next === undefined || next === null) break;
    node = next;
  }
  return (node as Node | null)?.range?.[0];
};

const describeError = (error: ErrorObject): string => {
  const where = error.instancePath.slice(1).replaceAll('/', '.') || 'the config';
  const unknown = error.params.additionalProperty as string | undefined;
  if (unknown !== undefined) {
    const known = Object.keys((error.parentSchema ?? schemaAt(error.schemaPath))?.properties ?? {});
    const near = nearestName(unknown, known);
    return `unknown field '${unknown}'${near ? ` (did you mean '${near}'?)` : ''}`;
  }
  if (error.keyword === 'enum') return `${where} must be one of ${(error.params.allowedValues as string[]).join(', ')}`;
  return `${where} ${error.message}`;
};

const schemaAt = (path: string): { properties?: object } | undefined => {
  let node: unknown = schema;
  for (const part of path.split('/').slice(1, -1)) node = (node as Record<string, unknown>)?.[part];
  return node as { properties?: object } | undefined;
};

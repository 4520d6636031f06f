import { describe, expect, test } from '@jest/globals';
import { type ConfigError, parseConfig } from '../../gateway/config.ts';
import { demoConfig } from '../../gateway/demo.ts';

const parse = (text: string, env: NodeJS.ProcessEnv = {}) => parseConfig(text, '/etc/aegis/aegis.yaml', env);

const findings = (text: string, env: NodeJS.ProcessEnv = {}): readonly string[] => {
  try {
    parse(text, env);
  } catch (error) {
    return (error as ConfigError).findings;
  }
  return [];
};

describe('config', () => {
  test('an unknown field stops the start, with its place and what was meant', () => {
    expect(findings('upstreams:\n  - {name: a, kind: sandbox}\nauditt: {}')).toEqual([
      "/etc/aegis/aegis.yaml:3:1 unknown field 'auditt' (did you mean 'audit'?)",
    ]);
  });

  test('all findings are told at once', () => {
    expect(findings('upstreams: [{name: A, kind: sandbx}]\nlistn: x')).toHaveLength(3);
  });

  test('an unset variable fails, one with a default does not', () => {
    const text = 'upstreams: [{name: openai, kind: openai, api_key: "$' + '{KEY}"}]';
    expect(findings(text)).toEqual(['/etc/aegis/aegis.yaml:1:51 the environment variable KEY is not set']);
    expect(parse(text, { KEY: 'sk-1' }).upstreams[0]?.api_key).toBe('sk-1');
    expect(parse(`home: "$` + `{NOWHERE:-/var/aegis}"\nupstreams: [{name: a, kind: sandbox}]`).home).toBe('/var/aegis');
  });

  test('limits live in memory unless a Redis is named', () => {
    const text = 'upstreams: [{name: a, kind: sandbox}]\nredis: {url: "$' + '{REDIS_URL:-}"}';
    expect(parse(text).redis).toEqual({ url: '', prefix: 'aegis' });
    expect(parse(text, { REDIS_URL: 'rediss://me:secret@r:6380/1' }).redis.url).toBe('rediss://me:secret@r:6380/1');
    const [finding, ...others] = findings(text, { REDIS_URL: 'http://me:secret@r' });
    expect([finding, others]).toEqual([
      expect.stringMatching(/^\/etc\/aegis\/aegis.yaml:2:14 redis.url must match/),
      [],
    ]);
    expect(finding).not.toContain('secret');
  });

  test('alerts need an address that is safe and a secret that is one, and have thresholds', () => {
    const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
    const alerts = (webhook: object, more = {}): string =>
      JSON.stringify({ upstreams: [{ name: 'a', kind: 'sandbox' }], alerts: { webhook, ...more } });
    expect(parse('upstreams: [{name: a, kind: sandbox}]').alerts).toBeNull();
    for (const url of ['https://hooks.example/x', 'http://127.0.0.1:9/', 'http://[::1]:9/', 'http://localhost/']) {
      expect(parse(alerts({ url, secret })).alerts).toEqual({ webhook: { url, secret }, thresholds: [0.5, 0.8, 1] });
    }
    for (const url of [
      'http://hooks.example/',
      'http://10.0.0.1/',
      'https://u:p@hooks.example/',
      'http://127.0.0.1.x/',
    ]) {
      expect(findings(alerts({ url, secret }))).toEqual([expect.stringContaining('alerts.webhook.url must be https')]);
    }
    const short = `whsec_${Buffer.alloc(23, 1).toString('base64')}`;
    const long = `whsec_${Buffer.alloc(65, 1).toString('base64')}`;
    for (const bad of ['x', short, long, secret.replace('whsec_', ''), `${secret}!`]) {
      expect(findings(alerts({ url: 'https://hooks.example/', secret: bad }))).toEqual([
        expect.stringContaining('alerts.webhook.secret must be whsec_'),
      ]);
    }
    expect(findings(alerts({ url: 'https://hooks.example/', secret }, { thresholds: [0] }))).toHaveLength(1);
    expect(findings(alerts({ url: 'https://hooks.example/' }))).toHaveLength(1);
  });

  test('bundles come from a folder, or from an address to which a token is sent only where nobody listens', () => {
    const source = (bundles: object): string =>
      JSON.stringify({ upstreams: [{ name: 'a', kind: 'sandbox' }], bundles });
    const bundlesOf = (bundles: object) => parse(source(bundles)).bundles;
    expect(bundlesOf({})).toMatchObject({ source: '/etc/aegis/bundles', token: '' });
    for (const [given, token, read] of [
      ['https://b.example/x/', 't', 'https://b.example/x/'],
      ['HTTPS://b.example', 't', 'https://b.example/'],
      ['https://b.example/x.tar.gz?v=1', '', 'https://b.example/x.tar.gz?v=1'],
      ['http://b.example/x/', '', 'http://b.example/x/'],
      ['http://127.0.0.1:8/x/', 't', 'http://127.0.0.1:8/x/'],
    ] as const) {
      expect(bundlesOf({ source: given, token })).toMatchObject({ source: read, token });
    }
    for (const [bundles, finding] of [
      [{ source: 's3://bucket/x' }, /bundles.source must be a folder or an http\(s\) address$/],
      [{ source: 'https://[x/' }, /bundles.source is no address/],
      [{ source: 'https://u:s3cret@b.example/', token: 't' }, /bundles.source must not hold a user or password/],
      [{ source: 'https://b.example/x/?a=1' }, /bundles.source of a folder must not have a query/],
      [{ source: 'https://b.example/x#y' }, /bundles.source must not have a fragment/],
      [{ source: 'http://b.example/', token: 's3cret' }, /bundles.token goes to https, or http on loopback, only$/],
      [{ source: 'https://b.example/', token: 's3cret\n' }, /bundles.token must be printable ASCII/],
      [{ source: 'bundles', token: 's3cret' }, /bundles.token is sent to an http\(s\) source only/],
    ] as const) {
      const found = findings(source(bundles));
      expect(found).toEqual([expect.stringMatching(finding)]);
      expect(found[0]).not.toContain('s3cret');
    }
  });

  test('relative paths are relative to the file, and the environment overrides', () => {
    const text = 'upstreams: [{name: a, kind: sandbox}]';
    expect(parse(text).home).toBe('/etc/aegis/.aegis');
    const settings = parse(text, { AEGIS_HOME: '/h', AEGIS_LISTEN: '[::1]:9', AEGIS_ADMIN_LISTEN: 'localhost:10' });
    expect(settings).toMatchObject({
      home: '/h',
      listen: { host: '::1', port: 9 },
      adminListen: { host: 'localhost', port: 10 },
    });
  });

  test.each([
    ['a provider without its key', 'upstreams: [{name: openai, kind: openai}]', 'needs an api_key'],
    ['LiteLLM without its place', 'upstreams: [{name: l, kind: litellm}]', 'needs a base_url'],
    [
      'a key beside keys',
      'upstreams: [{name: openai, kind: openai, api_key: a, api_keys: [{key: b}]}]',
      'has both api_key and api_keys',
    ],
    [
      'a key twice',
      'upstreams: [{name: openai, kind: openai, api_keys: [{key: a}, {key: a}]}]',
      'has the same key twice',
    ],
    ['a server without its address', 'upstreams: [{name: x, kind: openai_compatible}]', 'needs a base_url'],
    ['two upstreams of one name', 'upstreams: [{name: x, kind: sandbox}, {name: x, kind: sandbox}]', 'defined twice'],
    ['a listen without a port', 'listen: localhost\nupstreams: [{name: x, kind: sandbox}]', 'must be host:port'],
    ['a port out of range', 'listen: "a:70000"\nupstreams: [{name: x, kind: sandbox}]', 'must be host:port'],
    ['no upstream', 'upstreams: []', 'upstreams'],
    ['an empty file', '', "required property 'upstreams'"],
    ['YAML that is none', 'a: [', 'aegis.yaml:1'],
  ])('%s is refused', (_, text, words) => {
    expect(findings(text).join('\n')).toContain(words);
  });

  describe('an issuer of tokens', () => {
    const ISSUER = {
      issuer: 'https://id.example',
      jwks_uri: 'https://id.example/keys',
      audience: 'aegis',
      claims: { org: 'org' },
    };
    const withIssuers = (...issuers: object[]): string =>
      JSON.stringify({ upstreams: [{ name: 'x', kind: 'sandbox' }], identity: { jwt: issuers } });

    test('has what is not said filled in', () => {
      const { identity } = parse(withIssuers(ISSUER));
      expect(identity).toEqual({
        jwt: [{ ...ISSUER, algorithms: ['RS256', 'ES256'], allow_claims: [] }],
        maxStaleMs: 900_000,
      });
      expect(parse('upstreams: [{name: x, kind: sandbox}]').identity.jwt).toEqual([]);
    });

    test.each([
      ['a secret shared with the issuer', { algorithms: ['HS256'] }, 'must be one of RS256'],
      ['no signature', { algorithms: ['none'] }, 'must be one of RS256'],
      ['no algorithm', { algorithms: [] }, 'must NOT have fewer than 1 items'],
      ['keys over plain HTTP', { jwks_uri: 'http://id.example/keys' }, 'jwks_uri must be https, or http on loopback'],
      ['keys at a name that looks like loopback', { jwks_uri: 'http://127.0.0.1.example/' }, 'must be https'],
      ['keys behind a password', { jwks_uri: 'https://a:b@id.example/keys' }, 'must be https'],
      ['no organisation', { claims: { team: 'team' } }, "required property 'org'"],
      ['a claim that a caller does not have', { claims: { org: 'o', admin: 'x' } }, "unknown field 'admin'"],
      ['a path with an empty name', { claims: { org: 'a..b' } }, 'claims.org is no path of a claim'],
      ['a pointer that is none', { allow_claims: ['/a~2'] }, 'allow_claims.0 is no path of a claim'],
    ])('is refused with %s', (_, change, words) => {
      expect(findings(withIssuers({ ...ISSUER, ...change })).join('\n')).toContain(words);
    });

    test('is named once for each audience', () => {
      expect(findings(withIssuers(ISSUER, ISSUER)).join('\n')).toContain('has this audience twice');
      expect(parse(withIssuers(ISSUER, { ...ISSUER, audience: 'b' })).identity.jwt).toHaveLength(2);
    });

    test.each(['http://127.0.0.1:9/keys', 'http://localhost:9/keys', 'http://[::1]:9/keys'])(
      'may be at %s',
      (jwksUri) => {
        expect(parse(withIssuers({ ...ISSUER, jwks_uri: jwksUri })).identity.jwt).toHaveLength(1);
      },
    );
  });

  test('the demo plays every provider without a key by the sandbox, and says so', () => {
    const demo = demoConfig({ ANTHROPIC_API_KEY: 'sk-ant-1' });
    expect(demo.sandboxed).toEqual(['local', 'openai', 'mistral']);
    expect(demo.settings.upstreams.find(({ name }) => name === 'anthropic')?.kind).toBe('anthropic');
  });
});

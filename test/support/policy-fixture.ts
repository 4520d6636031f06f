import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buildBundle } from '../../gateway/policy/build.ts';
import type { Bundle } from '../../gateway/policy/bundle.ts';
import { requireCompiler } from '../../gateway/policy/compiler.ts';
import { packFiles, signAndPack } from '../../gateway/policy/pack.ts';
import { SCOPE } from '../../gateway/policy/signature.ts';
import type { Input } from '../../gateway/types.gen.ts';
import { upstreamFacts } from './upstream-facts.ts';

/** A folder of its own that is gone after `use`. */
export const withFolder = async <T>(use: (folder: string) => Promise<T>): Promise<T> => {
  const folder = await mkdtemp(join(tmpdir(), 'aegis-test-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** Writes files by their relative names. */
export const writeFiles = async (folder: string, files: Record<string, string | Uint8Array>): Promise<void> => {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
};

/** Data with one model at one upstream. */
export const MODELS = {
  small: {
    title: 'Small',
    upstreams: { openai: 'small-1' },
    class: 'cheap',
    modalities: ['text'],
    context_tokens: 1000,
    max_output_tokens: 100,
    deprecation_date: null,
    usd_per_million_tokens: { input: 1, output: 2 },
  },
};

/** A policy that allows everything to the small model; `reason` ends up in the decision, `extra` in the package. */
export const allowAll = (reason = 'fixture', extra = ''): Record<string, string> => ({
  'models/data.json': JSON.stringify(MODELS),
  'aegis/decision.rego': `package aegis

# METADATA
# title: Everything
# custom:
#   code: everything
decision := {
	"allow": true, "deny": [],
	"route": {"candidates": [{"model": "small", "upstream": "openai"}], "reason": ${JSON.stringify(reason)}, "experiment": null, "mirror": null},
	"parameters": {}, "tools": {"remove": []}, "redact": [],
	"rate": {"tier": "free", "limits": []}, "budgets": [],
	"audit": {"content": "none", "retention_days": 1},
	"cache": null, "rules": [],
}

models := sort([name | some name, _ in data.models])

admin := {"allow": false, "deny": []}
${extra}
`,
});

/** A policy whose result is a Rego expression. */
export const resultOf = (expression: string, extra = '', models = '["small"]'): Record<string, string> => ({
  'models/data.json': JSON.stringify(MODELS),
  'aegis/decision.rego': `package aegis

decision := ${expression}

models := ${models}

admin := {"allow": false, "deny": []}
${extra}
`,
});

/** Compiles sources into an unsigned bundle. */
export const compile = (sources: Record<string, string>, sequence = 1): Promise<Bundle> =>
  withFolder(async (policies) => {
    await writeFiles(policies, sources);
    return (await buildBundle({ policies, sequence, compiler: await requireCompiler() })).bundle;
  });

/** A key pair for tests, and its public half as PEM. */
export const testKey = (): { privateKey: KeyObject; publicKey: KeyObject; publicPem: string; privatePem: string } => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const signer = createPrivateKey(privateKey);
  return { privateKey: signer, publicKey: createPublicKey(publicKey), publicPem: publicKey, privatePem: privateKey };
};

/** A bundle with other files, signed so that only its content can be refused. */
export const signFiles = (files: ReadonlyMap<string, Buffer>, key: KeyObject, claims = {}): Promise<Buffer> =>
  signAndPack({ files } as Bundle, key, { keyid: 'test', scope: SCOPE, ...claims });

export { packFiles };

/** A valid input. */
export const input = (
  change: { request?: Partial<Input['request']>; caller?: Partial<Input['caller']> } = {},
): Input => ({
  request: {
    id: 'req-1',
    time: '2026-11-24T09:00:00.000Z',
    endpoint: 'chat.completions',
    dialect: 'openai',
    model: 'auto',
    stream: false,
    max_output_tokens: null,
    temperature: null,
    tools: [],
    response_format: null,
    source_ip: '192.0.2.1',
    headers: {},
    end_user: { name: '', source: 'none' },
    ...change.request,
  },
  caller: {
    kind: 'key',
    id: 'key-1',
    org: 'org',
    team: '',
    user: '',
    roles: [],
    groups: [],
    workflows: [],
    scopes: [],
    claims: {},
    ...change.caller,
  },
  purpose: { workflow: '', use_case: '', session: '', tags: {} },
  content: {
    messages: 1,
    bytes: 100,
    tokens_estimate: 20,
    modalities: ['text'],
    languages: ['Latn'],
    pii: {},
    secrets: {},
    signals: {
      multiple_choice: false,
      yes_no: false,
      question_marks: 1,
      code: false,
      math: false,
      instruction_verbs: 0,
      turns: 1,
      words: 10,
      numbers: 0,
      long_words: 3,
      negated: false,
    },
    complexity: 0.1,
    uninspected: [],
  },
  spend: [],
  upstreams: { openai: upstreamFacts('openai', { p50_ms: 100 }) },
  bucket: { request: 1, user: 2, session: 3, org: 4 },
  experiments: {},
});

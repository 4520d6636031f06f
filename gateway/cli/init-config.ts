import { join, relative } from 'node:path';
import { CHECKOUT } from '../policy/compiler.ts';

/** Providers that the config of a beginner names, and where their keys are in the environment. */
const PROVIDERS = [
  { name: 'openai', kind: 'openai', base: 'https://api.openai.com/v1', variable: 'OPENAI_API_KEY' },
  { name: 'anthropic', kind: 'anthropic', base: 'https://api.anthropic.com', variable: 'ANTHROPIC_API_KEY' },
  { name: 'mistral', kind: 'mistral', base: 'https://api.mistral.ai/v1', variable: 'MISTRAL_API_KEY' },
] as const;

/**
 * A commented aegis.yaml for `folder`, valid as it stands: providers whose key is in the environment as they are, the
 * others played by the sandbox with the line to use beside them.
 */
export const initialConfig = (folder: string, env: NodeJS.ProcessEnv): string => {
  const at = (...path: string[]): string => {
    const way = relative(folder, join(CHECKOUT, ...path));
    return way === '' ? '.' : way;
  };
  const upstreams = PROVIDERS.map(({ name, kind, base, variable }) => {
    const real = `- { name: ${name}, kind: ${kind}, base_url: ${base}, api_key: "\${${variable}}" }`;
    return env[variable] ? `  ${real}` : `  - { name: ${name}, kind: sandbox } # until you have a key:\n  # ${real}`;
  });
  return `# yaml-language-server: $schema=${at('schemas', 'config.json')}
# What the operator decides; what the security team decides is in policies/. \${NAME} comes from the environment and must
# be set, \${NAME:-default} need not. An unknown field refuses the start. ./aegis doctor looks at all of it.

# The data plane: base URL http://<listen>/v1 for OpenAI's clients, http://<listen> for Anthropic's.
listen: 127.0.0.1:8080

# The control plane: /healthz, /readyz and /admin/v1. Keep it to yourself.
admin: { listen: 127.0.0.1:8081 }

# Keys, ledger, audit log and the last known good bundle. Back it up; one gateway a home.
home: .aegis

# Several gateways are one to the outside when they share both of these (docs/operations.md, Several gateways). One needs
# neither: keys and the ledger are then in the home, limits and budgets in memory.
store: { url: "\${DATABASE_URL:-}" } # postgres://user:password@host:5432/database
redis: { url: "\${REDIS_URL:-}" } # redis:// or rediss://

# The only places that requests can go to. Policies know them by name: policies/models/data.yaml says which models are
# at which, policies/organizations/data.yaml who may use them.
upstreams:
${upstreams.join('\n')}
  - { name: local, kind: sandbox } # your own server (vLLM, Ollama, llama.cpp):
  # - { name: local, kind: openai_compatible, base_url: http://127.0.0.1:8000/v1 }

# Where policies come from, and whose signature is needed. The demo key is public, so a gateway that trusts it listens on
# loopback only. A key of your own:
#   openssl genrsa -out signing.pem 2048 && openssl rsa -in signing.pem -pubout -out signing.pub.pem
#   ./aegis build -o mine/default.tar.gz && ./aegis sign mine/default.tar.gz --key signing.pem
#   echo 'stable: default.tar.gz' > mine/rollout.yaml
# then: bundles: { source: mine, public_keys: [signing.pub.pem] }
bundles:
  source: ${JSON.stringify(at('bundles'))}
  public_keys: [${JSON.stringify(at('bundles', 'keys', 'demo.pub.pem'))}]

# How often the audit log is sealed with a signed checkpoint, in seconds.
audit: { checkpoint_s: 60 }

# Largest request body and unstreamed answer, in bytes.
# limits: { body_bytes: 8388608, response_bytes: 67108864 }

# Tokens of your own OIDC issuers beside API keys (docs/operations.md, Identity):
# identity:
#   jwt:
#     - issuer: https://login.example.org
#       jwks_uri: https://login.example.org/keys
#       audience: aegis
#       claims: { org: { value: demo-university }, team: department, user: preferred_username, roles: roles }
#       allow_roles: [student, teacher]

# debug, info, warn, error or silent. Lines never hold content or keys.
log_level: info
`;
};

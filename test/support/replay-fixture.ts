import { buildBundle } from '../../gateway/policy/build.ts';
import { requireCompiler } from '../../gateway/policy/compiler.ts';
import type { LoadedBundle } from '../../gateway/replay/replay.ts';
import type { Input } from '../../gateway/types.gen.ts';
import { input, MODELS, withFolder, writeFiles } from './policy-fixture.ts';

/** Prices chosen for sums in the head: small costs 1 and 2 dollars a million tokens, large 10 and 20. */
export const REPLAY_MODELS = {
  ...MODELS,
  large: {
    ...MODELS.small,
    title: 'Large',
    class: 'strong',
    upstreams: { openai: 'large-1' },
    usd_per_million_tokens: { input: 10, output: 20 },
  },
};

/** What the policies decide for a workflow, laid over a decision that allows the small model. */
export type Variants = Readonly<Record<string, object>>;

/** A refusal with one code. */
export const refusal = (code: string, rule = `access.${code}`): object => ({
  allow: false,
  deny: [{ code, message: 'No.', hint: '', rule }],
  route: { candidates: [], reason: 'denied', experiment: null, mirror: null },
  rules: [rule],
});

/** A route to these models. */
export const route = (...models: string[]): object => ({
  route: {
    candidates: models.map((model) => ({ model, upstream: 'openai' })),
    reason: 'fixture',
    experiment: null,
    mirror: null,
  },
});

/** An unsigned bundle whose decision is the workflow's variant. */
export const variantBundle = (
  variants: Variants,
  sequence: number,
  models: object = REPLAY_MODELS,
): Promise<LoadedBundle> =>
  withFolder(async (policies) => {
    await writeFiles(policies, {
      'models/data.json': JSON.stringify(models),
      'variants/data.json': JSON.stringify(variants),
      'access/access.rego': `package rules.access

# METADATA
# title: Closed for now
# custom:
#   code: closed
closed := true
`,
      'aegis/decision.rego': `package aegis

base := {
	"allow": true, "deny": [],
	"route": {"candidates": [{"model": "small", "upstream": "openai"}], "reason": "fixture", "experiment": null, "mirror": null},
	"parameters": {"max_output_tokens": 100}, "tools": {"remove": []},
	"redact": [{"entity": "email", "action": "tokenize", "in": ["request"], "restore": ["text"]}],
	"rate": {"tier": "free", "limits": []}, "budgets": [],
	"audit": {"content": "none", "retention_days": 1},
	"cache": null, "rules": ["routing.open"],
}

decision := object.union(base, object.get(data.variants, input.purpose.workflow, {}))

models := sort([name | some name, _ in data.models])

admin := {"allow": false, "deny": []}
`,
    });
    return buildBundle({ policies, sequence, compiler: await requireCompiler() });
  });

const START = Date.UTC(2026, 10, 2);

/** A request for a workflow, so many minutes after the start of the log. */
export const requestFor = (
  workflow: string,
  minute: number,
  over: { user?: string; org?: string; request?: Partial<Input['request']>; content?: Partial<Input['content']> } = {},
): Input => {
  const time = new Date(START + minute * 60_000).toISOString();
  const { user = 'sam', org = 'uni' } = over;
  const made = input({ request: { id: `req_${minute}`, time, ...over.request }, caller: { org, team: 'cs', user } });
  return { ...made, purpose: { ...made.purpose, workflow }, content: { ...made.content, ...over.content } };
};

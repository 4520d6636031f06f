import { join } from 'node:path';
import { type Compiler, requireCompiler } from '../../gateway/policy/compiler.ts';
import type { Remark } from '../../gateway/policy/finding.ts';
import { lintModules } from '../../gateway/policy/lint.ts';
import { requireOpa } from '../../gateway/policy/opa.ts';
import type { Module } from '../../gateway/policy/rego-ast.ts';
import { withFolder, writeFiles } from './policy-fixture.ts';

/** A platform with one of each, and models of every age on 2026-06-01. */
export const DATA = {
  models: {
    small: { class: 'cheap', upstreams: { local: 'small' }, deprecation_date: null },
    old: { class: 'cheap', upstreams: { local: 'old' }, deprecation_date: '2026-05-31' },
  },
  roles: { student: { title: 'Student', endpoints: {}, classes: { cheap: true } } },
  tiers: { free: { title: 'Free', max_output_tokens: 10 } },
  workflows: { tutoring: { title: 'Tutoring', roles: { student: true } } },
  organizations: {
    demo: { title: 'Demo', tier: 'free', teams: { blue: { title: 'Blue' } }, workflows: {}, upstreams: {} },
  },
  exams: { blue: { from: 'a', until: 'b' } },
};

/** Stands in for aegis/caller. */
export const CALLER = `package aegis.caller

organization := data.organizations[input.caller.org]

team := organization.teams[input.caller.team]

roles := [role | some name in input.caller.roles; role := data.roles[name]]

chats if input.request.endpoint == "messages"
`;

/** Stands in for the frame. */
export const FRAME = `package aegis

import data.rules

# METADATA
# entrypoint: true
decision := {"granted": granted, "deny": refusals}

granted if rules[_].granted

refusals contains refusal if some refusal in rules[_].deny
`;

let compiler: Compiler | undefined;

/** What the lints say of modules, by file; `aegis/caller.rego` is there unless given. */
export const lintFiles = async (modules: Record<string, string>): Promise<Remark[]> => {
  compiler ??= await requireCompiler();
  const opa = compiler;
  return withFolder(async (folder) => {
    const sources: Record<string, string> = { 'aegis/caller.rego': CALLER, ...modules };
    await writeFiles(folder, sources);
    const parsed = await Promise.all(
      Object.keys(sources).map(async (file) => {
        const args = ['parse', join(folder, file), '-f', 'json', '--json-include', 'locations'];
        return { file, module: JSON.parse(await requireOpa(opa, args, folder)) as Module };
      }),
    );
    return lintModules(parsed, { data: DATA, today: '2026-06-01', complete: true });
  });
};

const HEADER = 'package rules.x\n\nimport data.aegis.caller\n\ndefault granted := false\n\n';

/** What the lints say of rules of the package rules.x, as `line check`, lines counted from the first rule's. */
export const lintRules = async (rules: string, modules: Record<string, string> = {}): Promise<string[]> => {
  const remarks = await lintFiles({ ...modules, 'rules/x/x.rego': `${HEADER}${rules}\n` });
  const above = HEADER.split('\n').length - 1;
  for (const { why, fix } of remarks)
    if (why.length < 10 || fix.length < 5) throw new Error(`${why} / ${fix}: too terse`);
  return remarks.map(({ file, line, check }) => `${file === 'rules/x/x.rego' ? line - above : file} ${check}`);
};

/** A rule of a condition a line. */
export const ruleOf = (...conditions: string[]): string => `holds if {\n\t${conditions.join('\n\t')}\n}`;

export const METADATA = (code: string): string =>
  `# METADATA\n# title: A\n# description: B\n# custom:\n#   code: ${code}\n`;

/** A deny rule of six lines and more; its head is in the sixth. */
export const denyOf = (code: string, ...conditions: string[]): string =>
  `${METADATA(code)}deny contains {"rule": "x.${code}", "code": "${code}"} if {\n\t${conditions.join('\n\t')}\n}\n`;

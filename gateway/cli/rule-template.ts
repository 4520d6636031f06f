import { stringify } from 'yaml';
import type { ExampleCaller } from './rule-template-caller.ts';

interface TemplateOptions {
  /** Path of schemas/scenario.json from the scenarios' folder, for editors. */
  schema: string;
  /** Whom the policies allow; without one there is no scenario of a request that goes on. */
  caller: ExampleCaller | undefined;
}

/**
 * The files of a new rule by path below the policies: it refuses members of the group `<name>-blocked`, which stands for
 * whatever is wanted. Groups are in the credential, so the example cannot be talked around, and no data list them.
 */
export const ruleTemplate = (name: string, options: TemplateOptions): Record<string, string> => ({
  [`rules/${name}/${name}.rego`]: rule(name),
  [`rules/${name}/${name}_test.rego`]: unitTest(name),
  [`scenarios/${name}.yaml`]: scenarios(name, options),
});

const rule = (name: string): string => `# METADATA
# title: ${titleOf(name)}
# description: CHANGE ME. One sentence on what these rules are for.
package rules.${name}

# What the rules below need to know. A fact that is missing is a no, even where no rule objects: name here each field of
# the input that a rule reads.
default granted := false

granted if {
	is_array(input.caller.groups)
}

# CHANGE ME: title, description and code. The code reaches the caller; "rule" below is the folder and the code.
# METADATA
# title: Blocked group
# description: Members of the group ${name}-blocked get no answers.
# custom:
#   code: blocked_group
deny contains {
	"rule": "${name}.blocked_group",
	"code": "blocked_group",
	"message": "Members of this group may not use the gateway.",
	"hint": "Ask whoever manages your group.",
} if {
	# CHANGE ME: when to refuse. All lines must hold. Some that rules often ask:
	#   "student" in input.caller.roles                     the role, proved by the credential
	#   input.caller.team == "cs101"                        the team, proved by the credential
	#   input.purpose.workflow == "tutoring"                what the application says it is for: no proof
	#   input.content.pii.email > 0                         personal data found in the prompt
	#   input.request.time >= "2026-12-14T08:00:00.000Z"    the only clock
	# All fields are in schemas/input.json; names and figures that change belong into a data.yaml, not here.
	"${name}-blocked" in input.caller.groups
}
`;

const unitTest = (name: string): string => `package rules.${name}_test

import data.aegis
import data.aegis.testing

# A whole request of a student with changes put over it: half an input is refused whatever the rule says.
decision_for(changes) := result if {
	result := aegis.decision with input as testing.request(changes)
}

# CHANGE ME: the case that is refused …
test_members_of_the_group_are_refused if {
	decision := decision_for({"caller": {"groups": ["${name}-blocked"]}})
	decision.allow == false
	testing.refusals(decision) == {"${name}.blocked_group"}
}

# … and the nearest one that is not.
test_members_of_other_groups_are_not if {
	decision_for({"caller": {"groups": ["${name}"]}}).allow
}
`;

const scenarios = (name: string, { schema, caller: example }: TemplateOptions): string => {
  const refused = scenario(
    `A member of the group ${name}-blocked gets no answer`,
    `${name}-blocked`,
    example,
    `{ allow: false, code: blocked_group, rules: [${name}.blocked_group] }`,
  );
  const allowed = scenario(`A member of the group ${name} gets one`, name, example, '{ allow: true }');
  const header = `# yaml-language-server: $schema=${schema}
# CHANGE ME: the rule in the words of the business, as real requests. Nothing is sent.
`;
  return `${header}${refused}${example === undefined ? '' : `---\n${allowed}`}`;
};

const scenario = (title: string, group: string, example: ExampleCaller | undefined, expect: string): string => {
  const { caller, purpose, model } = example ?? { caller: { org: 'any', roles: [] }, purpose: {}, model: 'auto' };
  const given = [`caller: ${inline({ ...caller, groups: [group] })}`];
  if (Object.keys(purpose).length > 0) given.push(`purpose: ${inline(purpose)}`);
  return `name: ${title}
given:
  ${given.join('\n  ')}
request:
  endpoint: chat.completions
  body:
    model: ${inline(model)}
    messages: [{ role: user, content: Hello }]
expect: ${expect}
`;
};

/** A value of YAML on one line. */
const inline = (value: unknown): string => stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim();

/** `late_work` as `Late work`. */
const titleOf = (name: string): string => {
  const words = name.replaceAll('_', ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
};
